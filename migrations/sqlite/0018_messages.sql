-- Gift packs of WeChat: what their ids mean here, and the gifts that were pushed.
CREATE TABLE gifts (
    -- Of a pack, or of an item in packs, as WeChat's console names it.
    id                TEXT PRIMARY KEY,
    -- JSON: [{"productId", "quantity"}].
    items             TEXT NOT NULL,
    updated_at        INTEGER NOT NULL
);

CREATE TABLE gift_orders (
    -- WeChat's id of the gift.
    order_id          TEXT PRIMARY KEY,
    user_id           TEXT NOT NULL REFERENCES users (id),
    -- The pack, if WeChat named one.
    gift_id           TEXT,
    -- JSON: [{"id", "quantity"}], as pushed.
    content           TEXT NOT NULL,
    push_id           TEXT NOT NULL,
    received_at       INTEGER NOT NULL,
    -- NULL: waits for an operator to map its ids.
    granted_at        INTEGER
);

CREATE INDEX gift_orders_waiting ON gift_orders (order_id) WHERE granted_at IS NULL;
CREATE INDEX gift_orders_push ON gift_orders (push_id);

-- How many messages a player still accepts per template: the greater number of acceptances, less those used.
CREATE TABLE subscriptions (
    user_id           TEXT NOT NULL REFERENCES users (id),
    template_id       TEXT NOT NULL,
    -- Acceptances that the client reported.
    by_client         INTEGER NOT NULL,
    -- Acceptances that WeChat pushed.
    by_wechat         INTEGER NOT NULL,
    used              INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    PRIMARY KEY (user_id, template_id)
);

-- Pushes that were applied to subscriptions, each once.
CREATE TABLE subscription_pushes (
    push_id           TEXT PRIMARY KEY,
    at                INTEGER NOT NULL
);

CREATE INDEX subscription_pushes_at ON subscription_pushes (at);

-- Subscribe messages. A row is marked as sending before the call, so that none is sent twice.
CREATE TABLE messages (
    id                TEXT PRIMARY KEY,
    user_id           TEXT NOT NULL REFERENCES users (id),
    template_id       TEXT NOT NULL,
    -- JSON: {FIELD: text}, checked and cut.
    data              TEXT NOT NULL,
    page              TEXT,
    idempotency_key   TEXT NOT NULL UNIQUE,
    request_digest    TEXT NOT NULL,
    status            TEXT NOT NULL,
    created_at        INTEGER NOT NULL,
    due_at            INTEGER NOT NULL,
    -- When it was last marked as sending.
    sending_at        INTEGER,
    -- WeChat's id, if it returned one.
    wechat_id         TEXT,
    -- Of a failed message.
    error_code        INTEGER,
    error_field       TEXT,
    -- When the game server has accepted the report of a failed message.
    reported_at       INTEGER
);

-- WeChat rejects concurrent messages to one player (43108): there is one at a time.
CREATE UNIQUE INDEX messages_sending ON messages (user_id) WHERE status = 'sending';
CREATE INDEX messages_due ON messages (due_at) WHERE status = 'queued';
CREATE INDEX messages_unreported ON messages (created_at) WHERE status = 'failed' AND reported_at IS NULL;
CREATE INDEX messages_player ON messages (user_id, sending_at) WHERE sending_at IS NOT NULL;
CREATE INDEX messages_wechat ON messages (wechat_id) WHERE wechat_id IS NOT NULL;
CREATE INDEX messages_created ON messages (created_at);

-- Scores to be written to WeChat's cloud storage, for the friends ranking. One row per player orders the writes.
CREATE TABLE hosted_players (
    user_id           TEXT PRIMARY KEY REFERENCES users (id),
    -- Raised by each intent.
    revision          INTEGER NOT NULL,
    -- NULL: everything is written.
    due_at            INTEGER,
    -- A job writes until then.
    claimed_until     INTEGER NOT NULL,
    -- Failed writes in a row.
    attempts          INTEGER NOT NULL,
    -- Version of the session key that WeChat refused; NULL: not parked.
    parked_version    INTEGER
);

CREATE INDEX hosted_players_due ON hosted_players (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX hosted_players_parked ON hosted_players (user_id) WHERE parked_version IS NOT NULL;

CREATE TABLE hosted_scores (
    user_id           TEXT NOT NULL REFERENCES users (id),
    -- WeChat's name of the ranking.
    key               TEXT NOT NULL,
    -- NULL: to be removed, or removed.
    score             INTEGER,
    at                INTEGER NOT NULL,
    -- Of the player when it was last changed, and when it was last written.
    revision          INTEGER NOT NULL,
    written           INTEGER NOT NULL,
    PRIMARY KEY (user_id, key)
);
