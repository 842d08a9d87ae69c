-- The session key of a player by version: the key of now stays in session_key, the one before it opens
-- data that were under way for a while. And where a profile comes from, so that what is known is not
-- overwritten by what is worse or older.

-- Counts the different keys that WeChat has given; 0 before this was counted.
ALTER TABLE users ADD COLUMN session_key_version BIGINT NOT NULL DEFAULT 0;
-- SHA-256 of openid and key: tells whether WeChat gave the same key again.
ALTER TABLE users ADD COLUMN session_key_digest BYTEA;
-- Sealed like session_key, and bound to the same openid.
ALTER TABLE users ADD COLUMN previous_session_key BYTEA;
ALTER TABLE users ADD COLUMN previous_session_key_kid TEXT;
ALTER TABLE users ADD COLUMN previous_session_key_digest BYTEA;
-- When the previous key was replaced, Unix ms.
ALTER TABLE users ADD COLUMN session_key_replaced_at BIGINT;

-- raw or encrypted: what the profile was last brought up to date by.
ALTER TABLE users ADD COLUMN profile_source TEXT;
-- When WeChat made it: its watermark, or when raw data came in. Unix ms.
ALTER TABLE users ADD COLUMN profile_at BIGINT;
-- Counts the changes of the profile: of two that are made at once, the later sees the earlier.
ALTER TABLE users ADD COLUMN profile_revision BIGINT NOT NULL DEFAULT 0;
-- A nickname that WeChat's content check refused: it is not shown, also when it comes again.
ALTER TABLE users ADD COLUMN refused_nickname TEXT;
