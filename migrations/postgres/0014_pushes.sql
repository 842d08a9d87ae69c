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
    body              BYTEA NOT NULL,
    received_at       BIGINT NOT NULL,
    -- NULL: not processed yet.
    outcome           TEXT,
    processed_at      BIGINT,
    -- When an operator last had it processed again.
    replayed_at       BIGINT
);

CREATE INDEX pushes_pending ON pushes (received_at) WHERE outcome IS NULL;
CREATE INDEX pushes_processed ON pushes (processed_at) WHERE processed_at IS NOT NULL;
CREATE INDEX pushes_event ON pushes (event, id);

-- Rows are pending for seconds and stored for months, see 0012.
ALTER TABLE pushes SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.01);
