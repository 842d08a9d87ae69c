-- Creates orders with the first entry of their history. $1: the orders, as JSON. $2: the cause. An order whose
-- key the player has used is not in the result. Postgres.
WITH new AS (
    SELECT order_id, user_id, open_id, product_id, product_name, quantity, total_fee, channel, idempotency_key,
           request_digest, created_at, expires_at, next_check_at, history_id
    FROM json_to_recordset(CAST($1 AS json)) AS new (
        order_id TEXT, user_id TEXT, open_id TEXT, product_id TEXT, product_name TEXT, quantity BIGINT,
        total_fee BIGINT, channel TEXT, idempotency_key TEXT, request_digest TEXT, created_at BIGINT,
        expires_at BIGINT, next_check_at BIGINT, history_id TEXT)
), created AS (
    INSERT INTO orders (id, user_id, open_id, product_id, product_name, quantity, total_fee, channel,
                        status, idempotency_key, request_digest, holds_stock, created_at, expires_at,
                        next_check_at)
    SELECT order_id, user_id, open_id, product_id, product_name, quantity, total_fee, channel,
           'pending', idempotency_key, request_digest, 1, created_at, expires_at, next_check_at
    FROM new ORDER BY order_id
    ON CONFLICT (user_id, idempotency_key) DO NOTHING
    RETURNING id, user_id, open_id, product_id, product_name, quantity, total_fee, refunded_fee, channel,
        status, prepay_id AS offer, transaction_id, failure, created_at, expires_at, paid_at,
        channel_request, submitted_at, prepaid_at AS offered_at, checks, next_check_at, request_digest,
        holds_stock
), history AS (
    INSERT INTO order_history (id, order_id, status, cause, at)
    SELECT history_id, order_id, 'pending', $2, new.created_at FROM created JOIN new ON new.order_id = created.id
)
SELECT id, user_id, open_id, product_id, product_name, quantity, total_fee, refunded_fee, channel, status,
    offer, transaction_id, failure, created_at, expires_at, paid_at, channel_request, submitted_at,
    offered_at, checks, next_check_at, request_digest, holds_stock
FROM created
