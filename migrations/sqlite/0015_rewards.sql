-- What players received other than by an order: prizes, rewards of invitations, gift packs. Written with the
-- ledger entries that it stands for.
CREATE TABLE rewards (
    id                TEXT PRIMARY KEY,
    user_id           TEXT NOT NULL REFERENCES users (id),
    -- What caused it, once: `season:…`, `invite:…`, `gift:…`.
    source            TEXT NOT NULL UNIQUE,
    -- JSON: [{"productId", "quantity"}].
    items             TEXT NOT NULL,
    at                BIGINT NOT NULL
);

CREATE INDEX rewards_user ON rewards (user_id, id);
