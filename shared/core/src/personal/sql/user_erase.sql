-- The revision fails updates of the profile that read the row before.
UPDATE users SET
    open_id = $2, erased_at = $3, updated_at = $3,
    union_id = NULL, nickname = NULL, avatar_url = NULL, gender = NULL, country = NULL, province = NULL,
    city = NULL, language = NULL, refused_nickname = NULL, profile_source = NULL, profile_at = NULL,
    profile_revision = profile_revision + 1,
    session_key = NULL, session_key_kid = NULL, session_key_digest = NULL, session_key_replaced_at = NULL,
    previous_session_key = NULL, previous_session_key_kid = NULL, previous_session_key_digest = NULL,
    banned_at = NULL, ban_reason = NULL
WHERE id = $1
