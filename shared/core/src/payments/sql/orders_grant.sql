-- What follows from payments, for many orders at once: balances, ledger, history, event, webhook, and the
-- outcome of the callbacks. $1: one JSON object per order. $2: the outcome. $3: our time, Unix ms. $4: the ids of
-- the callbacks, separated by commas; as an array, so that the planner uses the key however few rows it knows
-- of. A source that was granted before violates the ledger's unique key, and the whole statement with it. Postgres.
WITH paid AS (
    SELECT order_id, user_id, open_id, product_id, quantity, source, cause, history_id, ledger_id,
           event_id, event_name, params, webhook_id, webhook
    FROM json_to_recordset(CAST($1 AS json)) AS paid (
        order_id TEXT, user_id TEXT, open_id TEXT, product_id TEXT, quantity BIGINT, source TEXT,
        cause TEXT, history_id TEXT, ledger_id TEXT, event_id TEXT, event_name TEXT, params JSON,
        webhook_id TEXT, webhook TEXT)
), balance AS (
    INSERT INTO inventory (user_id, product_id, quantity)
    SELECT user_id, product_id, CAST(sum(quantity) AS BIGINT) FROM paid
    GROUP BY user_id, product_id ORDER BY user_id, product_id
    ON CONFLICT (user_id, product_id)
    DO UPDATE SET quantity = inventory.quantity + excluded.quantity
    RETURNING user_id, product_id, quantity
), ledger AS (
    INSERT INTO inventory_ledger (id, user_id, product_id, delta, source, balance_after, at)
    SELECT ledger_id, paid.user_id, paid.product_id, paid.quantity, source,
           -- The balance after this entry: without those that follow it in this statement.
           balance.quantity - CAST(coalesce(sum(paid.quantity) OVER (
               PARTITION BY paid.user_id, paid.product_id ORDER BY ledger_id
               ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), 0) AS BIGINT),
           $3
    FROM paid JOIN balance USING (user_id, product_id)
), history AS (
    INSERT INTO order_history (id, order_id, status, cause, at)
    SELECT history_id, order_id, 'paid', cause, $3 FROM paid
), event AS (
    -- Held by this process, which forwards it.
    INSERT INTO event_outbox (id, user_id, open_id, event_name, params, at, claimed_at)
    SELECT event_id, user_id, open_id, event_name, CAST(params AS text), $3, $3 FROM paid
    ON CONFLICT (id) DO NOTHING
), webhook AS (
    INSERT INTO fulfilments (id, order_id, type, source, body, created_at)
    SELECT webhook_id, order_id, 'order.paid', source, webhook, $3 FROM paid
    WHERE webhook_id IS NOT NULL
    ON CONFLICT (source) DO NOTHING
)
UPDATE inbox SET outcome = $2, processed_at = $3
WHERE id = ANY (string_to_array($4, ',')) AND coalesce(outcome, '') = ''
