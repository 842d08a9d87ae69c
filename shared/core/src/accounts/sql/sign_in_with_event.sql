-- `sign_in.sql` and the event of the sign-in in one statement, hence one round trip. A banned player does
-- not sign in.
WITH player AS (
    INSERT INTO users (
        id, open_id, union_id, session_key, session_key_kid, session_key_digest, session_key_version,
        created_at, updated_at, last_login_at
    )
    VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7, $7)
    ON CONFLICT (open_id) DO UPDATE SET
        union_id = coalesce(excluded.union_id, users.union_id),
        updated_at = excluded.updated_at,
        last_login_at = excluded.last_login_at,
        session_key = CASE
            WHEN excluded.session_key_digest = users.previous_session_key_digest
                 AND users.session_key_replaced_at > excluded.updated_at - 30000
            THEN users.session_key ELSE excluded.session_key END,
        session_key_kid = CASE
            WHEN excluded.session_key_digest = users.previous_session_key_digest
                 AND users.session_key_replaced_at > excluded.updated_at - 30000
            THEN users.session_key_kid ELSE excluded.session_key_kid END,
        session_key_digest = CASE
            WHEN excluded.session_key_digest = users.previous_session_key_digest
                 AND users.session_key_replaced_at > excluded.updated_at - 30000
            THEN users.session_key_digest ELSE excluded.session_key_digest END,
        session_key_version = CASE
            WHEN excluded.session_key_digest = users.session_key_digest
              OR excluded.session_key_digest = users.previous_session_key_digest
                 AND users.session_key_replaced_at > excluded.updated_at - 30000
            THEN users.session_key_version ELSE users.session_key_version + 1 END,
        previous_session_key = CASE
            WHEN excluded.session_key_digest = users.session_key_digest
              OR excluded.session_key_digest = users.previous_session_key_digest
                 AND users.session_key_replaced_at > excluded.updated_at - 30000
            THEN users.previous_session_key ELSE users.session_key END,
        previous_session_key_kid = CASE
            WHEN excluded.session_key_digest = users.session_key_digest
              OR excluded.session_key_digest = users.previous_session_key_digest
                 AND users.session_key_replaced_at > excluded.updated_at - 30000
            THEN users.previous_session_key_kid ELSE users.session_key_kid END,
        previous_session_key_digest = CASE
            WHEN excluded.session_key_digest = users.session_key_digest
              OR excluded.session_key_digest = users.previous_session_key_digest
                 AND users.session_key_replaced_at > excluded.updated_at - 30000
            THEN users.previous_session_key_digest ELSE users.session_key_digest END,
        session_key_replaced_at = CASE
            WHEN excluded.session_key_digest = users.session_key_digest
              OR excluded.session_key_digest = users.previous_session_key_digest
                 AND users.session_key_replaced_at > excluded.updated_at - 30000
            THEN users.session_key_replaced_at ELSE excluded.updated_at END
    RETURNING
        banned_at, id, open_id, union_id, nickname, avatar_url, gender, country, province, city,
        language, created_at, updated_at, last_login_at
), event AS (
    INSERT INTO event_outbox (id, user_id, open_id, event_name, params, at, claimed_at)
    SELECT $8, player.id, $2, $9, $10, $7, $7 FROM player WHERE banned_at IS NULL
    ON CONFLICT (id) DO NOTHING
)
SELECT
    banned_at, id, open_id, union_id, nickname, avatar_url, gender, country, province, city,
    language, created_at, updated_at, last_login_at
FROM player
