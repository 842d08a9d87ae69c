-- Erasures of players: what was requested, and how far it is. A row is written when an erasure is requested, deleted
-- when it is revoked, and otherwise stays as the proof that it was done.
CREATE TABLE erasures (
    -- Also the webhook-id of `player.erased`, and the pseudonym of the player.
    id                TEXT PRIMARY KEY,
    user_id           TEXT NOT NULL UNIQUE REFERENCES users (id),
    -- `operator` or `wechat`.
    cause             TEXT NOT NULL,
    -- What is done next.
    step              TEXT NOT NULL,
    requested_at      INTEGER NOT NULL,
    -- When that may be done.
    due_at            INTEGER NOT NULL,
    started_at        INTEGER,
    done_at           INTEGER,
    -- Openid and unionid, sealed with AES-256-GCM and bound to the id: from the first step to the last one.
    identity          BLOB,
    identity_kid      TEXT,
    -- When the game server accepted the webhook.
    notified_at       INTEGER
);

CREATE INDEX erasures_due ON erasures (due_at) WHERE step <> 'done';

-- Of a player who was erased: the row stays for what refers to it.
ALTER TABLE users ADD COLUMN erased_at INTEGER;

-- The player that the message is about.
ALTER TABLE pushes ADD COLUMN open_id TEXT;
CREATE INDEX pushes_open_id ON pushes (open_id) WHERE open_id IS NOT NULL;
