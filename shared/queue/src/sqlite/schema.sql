-- The embedded queue, version 1. Times are Unix milliseconds.
CREATE TABLE jobs (
    id             TEXT PRIMARY KEY,
    queue          TEXT NOT NULL,
    kind           TEXT NOT NULL,
    -- The envelope (JSON); NULL once the job has ended and only its result is stored.
    body           TEXT,
    state          TEXT NOT NULL CHECK (state IN ('ready', 'leased', 'succeeded', 'rejected', 'dead')),
    -- Number of attempts that were started.
    attempts       INTEGER NOT NULL DEFAULT 0,
    lost_leases    INTEGER NOT NULL DEFAULT 0,
    max_attempts   INTEGER NOT NULL,
    owner          TEXT,
    traceparent    TEXT,
    enqueued_at    INTEGER NOT NULL,
    due_at         INTEGER NOT NULL,
    -- Number of deliveries: a lease is identified by the job's id and this number.
    delivery       INTEGER NOT NULL DEFAULT 0,
    renewed_at     INTEGER,
    result         TEXT,
    error          TEXT,
    finished_at    INTEGER,
    -- 0: a dead letter is stored until it is replayed or purged.
    dead_ttl_ms    INTEGER NOT NULL DEFAULT 0,
    expires_at     INTEGER
);

CREATE INDEX jobs_ready ON jobs (queue, due_at, id) WHERE state = 'ready';
CREATE INDEX jobs_leased ON jobs (queue, renewed_at) WHERE state = 'leased';
CREATE INDEX jobs_dead ON jobs (queue, id) WHERE state = 'dead';
CREATE INDEX jobs_expiring ON jobs (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE idempotency_keys (
    queue      TEXT NOT NULL,
    key        TEXT NOT NULL,
    job_id     TEXT NOT NULL,
    -- NULL while the job is in flight.
    expires_at INTEGER,
    PRIMARY KEY (queue, key)
) WITHOUT ROWID;

CREATE INDEX idempotency_keys_expiring ON idempotency_keys (expires_at) WHERE expires_at IS NOT NULL;
