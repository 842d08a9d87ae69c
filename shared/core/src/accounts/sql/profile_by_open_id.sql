SELECT
    profile_source, profile_at, profile_revision, refused_nickname,
    id, open_id, union_id, nickname, avatar_url, gender, country, province, city, language,
    created_at, updated_at, last_login_at
FROM users WHERE open_id = $1
