-- A sign-in may have stored a unionid in the meantime: that one stays.
UPDATE users SET
    nickname = $3, avatar_url = $4, gender = $5, country = $6, province = $7, city = $8,
    language = $9, union_id = coalesce(union_id, $10), profile_source = $11, profile_at = $12,
    updated_at = $13, profile_revision = profile_revision + 1
WHERE id = $1 AND profile_revision = $2
RETURNING
    id, open_id, union_id, nickname, avatar_url, gender, country, province, city, language,
    created_at, updated_at, last_login_at
