-- Messages that WeChat has pushed, authentic and decrypted.
CREATE TABLE pushes (
    id                TEXT PRIMARY KEY,
    -- What all deliveries of the message share.
    duplicate_key     TEXT NOT NULL UNIQUE,
    -- Plain mode only: timestamp and nonce of the query, which may sign one message.
    query_key         TEXT UNIQUE,
    -- WeChat's name of the event; empty: none.
    event             TEXT NOT NULL,
    -- Name of the credential in the configuration that authenticated it.
    credential        TEXT NOT NULL,
    mode              TEXT NOT NULL,
    format            TEXT NOT NULL,
    -- The message, verbatim.
    body              BLOB NOT NULL,
    received_at       INTEGER NOT NULL,
    -- NULL: not processed yet.
    outcome           TEXT,
    processed_at      INTEGER,
    -- When an operator last had it processed again.
    replayed_at       INTEGER
);

CREATE INDEX pushes_pending ON pushes (received_at) WHERE outcome IS NULL;
CREATE INDEX pushes_processed ON pushes (processed_at) WHERE processed_at IS NOT NULL;
CREATE INDEX pushes_event ON pushes (event, id);
