-- Players and their sign-ins. Times are Unix milliseconds, as in the SQLite folder, so that one SQL
-- text reads both.
CREATE TABLE users (
    id                TEXT PRIMARY KEY,
    open_id           TEXT NOT NULL UNIQUE,
    union_id          TEXT,
    -- AES-256-GCM, bound to the openid, under the key that session_key_kid names.
    session_key       BYTEA,
    session_key_kid   TEXT,
    nickname          TEXT,
    avatar_url        TEXT,
    gender            SMALLINT,
    country           TEXT,
    province          TEXT,
    city              TEXT,
    language          TEXT,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL,
    last_login_at     BIGINT NOT NULL
);

CREATE INDEX users_union_id ON users (union_id) WHERE union_id IS NOT NULL;

CREATE TABLE sessions (
    -- The sign-in job's id: doing that job twice makes one session.
    id                TEXT PRIMARY KEY,
    user_id           TEXT NOT NULL REFERENCES users (id),
    device_id         TEXT,
    device_type       TEXT,
    scene             BIGINT,
    -- SHA-256; the token itself is known to its owner alone.
    refresh_digest    BYTEA NOT NULL UNIQUE,
    -- AES-256-GCM, bound to the session's id.
    signing_key       BYTEA NOT NULL,
    signing_key_kid   TEXT NOT NULL,
    created_at        BIGINT NOT NULL,
    expires_at        BIGINT NOT NULL
);

CREATE INDEX sessions_user_id ON sessions (user_id, created_at);
CREATE INDEX sessions_expires_at ON sessions (expires_at);
