-- Goods, orders, refunds, what players own, callbacks as received, and webhooks to be sent.
-- Times are Unix milliseconds, money is fen, flags are 0 or 1.
CREATE TABLE products (
    id                TEXT PRIMARY KEY,
    name              TEXT NOT NULL,
    description       TEXT,
    image_url         TEXT,
    price             BIGINT NOT NULL CHECK (price > 0),
    -- Most that one player may have bought; NULL: no limit.
    limit_per_user    BIGINT CHECK (limit_per_user > 0),
    -- What can still be ordered; NULL: no end. Below zero when a payment won a race against the
    -- release of its stock.
    stock             BIGINT,
    active            SMALLINT NOT NULL,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL
);

CREATE TABLE orders (
    -- Also the out_trade_no.
    id                TEXT PRIMARY KEY,
    user_id           TEXT NOT NULL REFERENCES users (id),
    open_id           TEXT NOT NULL,
    product_id        TEXT NOT NULL REFERENCES products (id),
    product_name      TEXT NOT NULL,
    quantity          BIGINT NOT NULL CHECK (quantity > 0),
    total_fee         BIGINT NOT NULL CHECK (total_fee > 0),
    refunded_fee      BIGINT NOT NULL DEFAULT 0,
    channel           TEXT NOT NULL,
    status            TEXT NOT NULL CHECK (status IN ('pending', 'paid', 'failed', 'refunding', 'refunded', 'closed')),
    idempotency_key   TEXT NOT NULL,
    -- Of the request's body: the same key with another body is refused.
    request_digest    TEXT NOT NULL,
    -- What is sent to the channel, stored before it is sent first.
    channel_request   TEXT,
    -- Set before the first sending: from then on the channel may know the order.
    submitted_at      BIGINT,
    prepay_id         TEXT,
    prepaid_at        BIGINT,
    transaction_id    TEXT,
    -- Whether stock is held for it (or was sold by it).
    holds_stock       SMALLINT NOT NULL,
    failure           TEXT,
    created_at        BIGINT NOT NULL,
    expires_at        BIGINT NOT NULL,
    paid_at           BIGINT,
    ended_at          BIGINT,
    -- When the channel is asked next whether it was paid; NULL: not any more.
    next_check_at     BIGINT,
    checks            INTEGER NOT NULL DEFAULT 0,
    UNIQUE (user_id, idempotency_key)
);

CREATE UNIQUE INDEX orders_transaction ON orders (channel, transaction_id) WHERE transaction_id IS NOT NULL;
CREATE INDEX orders_user ON orders (user_id, id);
CREATE INDEX orders_status ON orders (status, id);
CREATE INDEX orders_next_check ON orders (next_check_at) WHERE next_check_at IS NOT NULL;
CREATE INDEX orders_paid_at ON orders (paid_at) WHERE paid_at IS NOT NULL;
CREATE INDEX orders_created_at ON orders (created_at);
CREATE INDEX orders_open_id ON orders (open_id, id);
CREATE INDEX orders_bought ON orders (user_id, product_id, status);

CREATE TABLE order_history (
    id                TEXT PRIMARY KEY,
    order_id          TEXT NOT NULL REFERENCES orders (id),
    status            TEXT NOT NULL,
    cause             TEXT NOT NULL,
    at                BIGINT NOT NULL
);

CREATE INDEX order_history_order ON order_history (order_id, id);

CREATE TABLE refunds (
    -- Also the out_refund_no.
    id                TEXT PRIMARY KEY,
    order_id          TEXT NOT NULL REFERENCES orders (id),
    amount            BIGINT NOT NULL CHECK (amount > 0),
    -- Goods to take back when it succeeds.
    quantity          BIGINT NOT NULL CHECK (quantity >= 0),
    reason            TEXT NOT NULL,
    status            TEXT NOT NULL CHECK (status IN ('requested', 'processing', 'succeeded', 'abnormal', 'closed')),
    idempotency_key   TEXT NOT NULL,
    request_digest    TEXT NOT NULL,
    channel_request   TEXT,
    channel_refund_id TEXT,
    -- Goods that were taken back; the rest was consumed before.
    revoked           BIGINT,
    created_at        BIGINT NOT NULL,
    ended_at          BIGINT,
    next_check_at     BIGINT,
    checks            INTEGER NOT NULL DEFAULT 0,
    UNIQUE (order_id, idempotency_key)
);

CREATE INDEX refunds_next_check ON refunds (next_check_at) WHERE next_check_at IS NOT NULL;

-- What players own. The ledger is the truth, the balance its sum.
CREATE TABLE inventory_ledger (
    id                TEXT PRIMARY KEY,
    user_id           TEXT NOT NULL REFERENCES users (id),
    product_id        TEXT NOT NULL REFERENCES products (id),
    delta             BIGINT NOT NULL CHECK (delta <> 0),
    -- What caused it, once: `order:…`, `refund:…`, `consume:…`.
    source            TEXT NOT NULL UNIQUE,
    request_digest    TEXT,
    balance_after     BIGINT NOT NULL CHECK (balance_after >= 0),
    at                BIGINT NOT NULL
);

CREATE INDEX inventory_ledger_owner ON inventory_ledger (user_id, product_id, id);

CREATE TABLE inventory (
    user_id           TEXT NOT NULL REFERENCES users (id),
    product_id        TEXT NOT NULL REFERENCES products (id),
    quantity          BIGINT NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (user_id, product_id)
);

-- Payment callbacks, as they came.
CREATE TABLE inbox (
    id                TEXT PRIMARY KEY,
    channel           TEXT NOT NULL,
    kind              TEXT NOT NULL,
    -- The headers that matter, as JSON.
    headers           TEXT NOT NULL,
    body              BYTEA NOT NULL,
    received_at       BIGINT NOT NULL,
    -- Whether a key at hand has verified it at the door.
    verified          SMALLINT NOT NULL,
    -- NULL: not processed yet.
    outcome           TEXT,
    processed_at      BIGINT
);

CREATE INDEX inbox_pending ON inbox (received_at) WHERE outcome IS NULL;

-- Webhooks to the game server; written with what they tell of.
CREATE TABLE fulfilments (
    id                TEXT PRIMARY KEY,
    order_id          TEXT NOT NULL REFERENCES orders (id),
    type              TEXT NOT NULL,
    -- What caused it, once.
    source            TEXT NOT NULL UNIQUE,
    body              TEXT NOT NULL,
    created_at        BIGINT NOT NULL,
    -- When a job was last made for it.
    enqueued_at       BIGINT,
    delivered_at      BIGINT
);

CREATE INDEX fulfilments_pending ON fulfilments (created_at) WHERE delivered_at IS NULL;

CREATE TABLE reconciliations (
    -- YYYY-MM-DD, Beijing time, as WeChat's bills are.
    day               TEXT PRIMARY KEY,
    rows_compared     BIGINT NOT NULL,
    differences       BIGINT NOT NULL,
    at                BIGINT NOT NULL
);

CREATE TABLE reconciliation_differences (
    day               TEXT NOT NULL,
    order_id          TEXT NOT NULL,
    kind              TEXT NOT NULL,
    ours              TEXT,
    theirs            TEXT,
    at                BIGINT NOT NULL,
    PRIMARY KEY (day, order_id, kind)
);
