-- The audit log, and the indexes by which sealed columns are found by their key.
CREATE TABLE audit_events (
    -- A ULID made of "at": the primary key is the order of time.
    id                TEXT PRIMARY KEY,
    at                INTEGER NOT NULL,
    kind              TEXT NOT NULL,
    -- No reference: what happened to a player stays known when the player is gone.
    user_id           TEXT,
    session_id        TEXT,
    actor             TEXT NOT NULL,
    address           TEXT,
    -- A JSON object of small values.
    detail            TEXT NOT NULL
);

CREATE INDEX audit_events_at ON audit_events (at);
CREATE INDEX audit_events_kind ON audit_events (kind, id);
CREATE INDEX audit_events_user ON audit_events (user_id, id) WHERE user_id IS NOT NULL;

-- Key rotation goes from key to key, a batch at a time.
CREATE INDEX users_session_key_kid ON users (session_key_kid, id) WHERE session_key_kid IS NOT NULL;
CREATE INDEX users_previous_session_key_kid ON users (previous_session_key_kid, id)
    WHERE previous_session_key_kid IS NOT NULL;
