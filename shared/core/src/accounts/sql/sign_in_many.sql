-- `sign_in.sql` for many players at once, with the events of their sign-ins, and the inviters of those who are
-- new: one round trip and one commit. $1: one JSON object per player, each player once; bytes are in base64. Rows
-- are written in the order of their openids, so that two processes do not deadlock. A banned player does not sign in. Postgres.
WITH sign_in AS (
    SELECT user_id, open_id, union_id, decode(session_key, 'base64') AS session_key, session_key_kid,
           decode(session_key_digest, 'base64') AS session_key_digest, at, event_id, event_name, params,
           share_id, invite_code, device, client_ip
    FROM json_to_recordset(CAST($1 AS json)) AS sign_in (
        user_id TEXT, open_id TEXT, union_id TEXT, session_key TEXT, session_key_kid TEXT,
        session_key_digest TEXT, at BIGINT, event_id TEXT, event_name TEXT, params JSON,
        share_id TEXT, invite_code TEXT, device TEXT, client_ip TEXT)
), player AS (
    INSERT INTO users (
        id, open_id, union_id, session_key, session_key_kid, session_key_digest, session_key_version,
        created_at, updated_at, last_login_at
    )
    SELECT user_id, open_id, union_id, session_key, session_key_kid, session_key_digest, 1, at, at, at
    FROM sign_in ORDER BY open_id
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
    SELECT event_id, player.id, open_id, event_name, CAST(params AS text), at, at
    FROM player JOIN sign_in USING (open_id) WHERE banned_at IS NULL
    ON CONFLICT (id) DO NOTHING
), touch AS (
    SELECT sign_in.user_id, coalesce(shares.user_id, invite_codes.user_id) AS inviter_id,
           shares.id AS share_id, device, client_ip, at
    FROM sign_in
        LEFT JOIN shares ON shares.id = sign_in.share_id
        LEFT JOIN invite_codes ON invite_codes.code = sign_in.invite_code
    WHERE sign_in.share_id IS NOT NULL OR sign_in.invite_code IS NOT NULL
), invite AS (
    -- A player who has the id of this sign-in is new.
    INSERT INTO invites (user_id, inviter_id, share_id, device, client_ip, at, state)
    SELECT touch.user_id, inviter_id, share_id, device, client_ip, at, 'invited'
    FROM touch JOIN player ON player.id = touch.user_id WHERE inviter_id <> touch.user_id
    ON CONFLICT (user_id) DO NOTHING
    RETURNING user_id
)
SELECT
    banned_at, id, open_id, union_id, nickname, avatar_url, gender, country, province, city,
    language, created_at, updated_at, last_login_at,
    CAST(CASE WHEN invite.user_id IS NULL THEN 0 ELSE 1 END AS BIGINT) AS invited
FROM player LEFT JOIN invite ON invite.user_id = player.id
