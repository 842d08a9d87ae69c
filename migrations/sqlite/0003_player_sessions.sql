-- Sessions as one document for each player, kept here only by the embedded engine (else they are in
-- Redis), and who is banned. The table `sessions` of the first version is no longer read or written;
-- a later version drops it.
ALTER TABLE users ADD COLUMN banned_at INTEGER;
ALTER TABLE users ADD COLUMN ban_reason TEXT;

CREATE TABLE player_sessions (
    user_id     TEXT PRIMARY KEY,
    -- JSON; replaced as a whole, and only when it is still the text that was read.
    document    TEXT NOT NULL,
    -- When nothing in it matters any more; NULL: never.
    expires_at  INTEGER
);

CREATE INDEX player_sessions_expires_at ON player_sessions (expires_at) WHERE expires_at IS NOT NULL;

-- Nonces of signed requests, as long as their timestamps would still be taken.
CREATE TABLE request_nonces (
    session_id  TEXT NOT NULL,
    nonce       TEXT NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (session_id, nonce)
);

CREATE INDEX request_nonces_expires_at ON request_nonces (expires_at);
