-- Comparison of coins with WeChat's sums, orders with test money, and webhooks that belong to no order.
-- Players whose coins are compared with WeChat's sums, one row each. No foreign key: nothing may wait for the player.
CREATE TABLE coin_audits (
    user_id           TEXT PRIMARY KEY,
    -- When the next comparison is due; NULL: once the player has signed in.
    due_at            BIGINT,
    audited_at        BIGINT,
    -- What WeChat's sums held beyond our records at the first comparison, or when an operator accepted it: coins from
    -- before, or from elsewhere. NULL: not compared yet.
    saved_before      BIGINT,
    presented_before  BIGINT,
    spent_before      BIGINT,
    -- How far WeChat's sums are above our records since, or below.
    saved_off         BIGINT NOT NULL DEFAULT 0,
    presented_off     BIGINT NOT NULL DEFAULT 0,
    spent_off         BIGINT NOT NULL DEFAULT 0,
    -- Number of comparisons in succession that found a difference.
    differing         BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX coin_audits_due ON coin_audits (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX coin_audits_differing ON coin_audits (user_id) WHERE differing >= 2;

INSERT INTO coin_audits (user_id, due_at)
    SELECT user_id, 0 FROM coin_balances UNION SELECT user_id, 0 FROM coin_changes WHERE sandbox = 0;

-- Orders with test money. Their stored requests say so too, but no index can find those.
CREATE TABLE sandbox_orders (
    order_id          TEXT PRIMARY KEY
);

INSERT INTO sandbox_orders (order_id)
    SELECT id FROM orders WHERE channel = 'virtual_payment' AND channel_request LIKE '%"env":1%';

-- A present of coins belongs to no order.
ALTER TABLE fulfilments ALTER COLUMN order_id DROP NOT NULL;
