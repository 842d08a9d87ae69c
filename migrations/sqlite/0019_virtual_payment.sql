-- Virtual payment: what products are in WeChat's console, orders that begin at WeChat or wait for their player,
-- refunds that WeChat reports, and changes of coins.
ALTER TABLE products ADD COLUMN virtual_product_id TEXT;
-- Price of one piece in coins; NULL: not sold for coins.
ALTER TABLE products ADD COLUMN coin_price INTEGER;
-- Coins in one piece of a coin pack; NULL: items.
ALTER TABLE products ADD COLUMN coins INTEGER;
-- Names of platforms, separated by commas; NULL: sold on all.
ALTER TABLE products ADD COLUMN platforms TEXT;

-- An order that was paid with coins costs no money.
-- SQLite changes no constraints; its documentation describes this way for those that concern no stored bytes.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (total_fee > 0)', 'CHECK (total_fee >= 0)')
WHERE type = 'table' AND name = 'orders';
PRAGMA writable_schema = RESET;

-- Orders of the store outside the game, which have numbers of WeChat's.
CREATE TABLE store_orders (
    out_trade_no      TEXT PRIMARY KEY,
    order_id          TEXT NOT NULL UNIQUE REFERENCES orders (id)
);

-- Orders that cannot be queried before their players sign in again.
CREATE TABLE orders_awaiting_sign_in (
    order_id          TEXT PRIMARY KEY REFERENCES orders (id),
    user_id           TEXT NOT NULL,
    -- Version of the session key that WeChat refused; 0: there was none.
    key_version       INTEGER NOT NULL,
    since             INTEGER NOT NULL
);

CREATE INDEX orders_awaiting_sign_in_user ON orders_awaiting_sign_in (user_id);

-- Refunds that happened at the channel, which merely reports them. Those of payments that are not known yet
-- wait here, and are applied with the payment.
CREATE TABLE channel_refunds (
    -- The channel's number of the refund.
    id                TEXT PRIMARY KEY,
    out_trade_no      TEXT,
    transaction_id    TEXT,
    amount            INTEGER NOT NULL CHECK (amount > 0),
    source            TEXT NOT NULL,
    at                INTEGER NOT NULL,
    -- NULL: the payment is not known yet.
    order_id          TEXT
);

CREATE INDEX channel_refunds_number ON channel_refunds (out_trade_no) WHERE order_id IS NULL;
CREATE INDEX channel_refunds_transaction ON channel_refunds (transaction_id) WHERE order_id IS NULL;

-- Changes of coins that we request of WeChat, each once under its number.
CREATE TABLE coin_changes (
    -- The bill_no; of a spend the order's id.
    id                TEXT PRIMARY KEY,
    user_id           TEXT NOT NULL REFERENCES users (id),
    open_id           TEXT NOT NULL,
    kind              TEXT NOT NULL CHECK (kind IN ('spend', 'return', 'present')),
    -- The order of a spend or of a return.
    order_id          TEXT,
    amount            INTEGER NOT NULL CHECK (amount > 0),
    sandbox           INTEGER NOT NULL,
    state             TEXT NOT NULL CHECK (state IN ('pending', 'done', 'refused', 'unsettled')),
    reason            TEXT NOT NULL,
    created_at        INTEGER NOT NULL,
    -- Since when WeChat may have applied it, set before the first call; NULL: it certainly has not.
    sent_at           INTEGER,
    ended_at          INTEGER,
    -- Coins of the player after it, as far as WeChat reported them.
    balance           INTEGER,
    -- Version of the session key that WeChat refused; NULL: not waiting for the player.
    key_version       INTEGER,
    next_try_at       INTEGER,
    tries             INTEGER NOT NULL DEFAULT 0
);

CREATE INDEX coin_changes_user ON coin_changes (user_id, created_at);
CREATE INDEX coin_changes_order ON coin_changes (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX coin_changes_due ON coin_changes (next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX coin_changes_waiting ON coin_changes (user_id) WHERE key_version IS NOT NULL;
CREATE INDEX coin_changes_unsettled ON coin_changes (created_at) WHERE state = 'unsettled';

-- What WeChat last reported of a player's coins.
CREATE TABLE coin_balances (
    user_id           TEXT PRIMARY KEY REFERENCES users (id),
    balance           INTEGER NOT NULL,
    granted           INTEGER NOT NULL,
    as_of             INTEGER NOT NULL
);

-- Refunds whose items were used before: few.
CREATE INDEX refunds_used ON refunds (ended_at) WHERE revoked < quantity;
