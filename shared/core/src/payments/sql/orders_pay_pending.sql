-- Marks pending orders that hold their stock as paid, for many payments at once. $1: the ids of the orders,
-- separated by commas. $2: the payments, as JSON. Orders that are not in the result are left as they are.
-- Rows are locked in the order of their ids, so that two processes do not deadlock. Postgres.
WITH payment AS (
    SELECT order_id, channel, transaction_id, paid_at, total
    FROM json_to_recordset(CAST($2 AS json))
        AS payment (order_id TEXT, channel TEXT, transaction_id TEXT, paid_at BIGINT, total BIGINT)
), locked AS (
    SELECT id FROM orders WHERE id = ANY (string_to_array($1, ',')) ORDER BY id FOR UPDATE
)
UPDATE orders SET status = 'paid', transaction_id = payment.transaction_id,
                  paid_at = payment.paid_at, ended_at = NULL, next_check_at = NULL
FROM locked JOIN payment ON payment.order_id = locked.id
-- The state is no search condition: the index of pending orders would be read as a whole.
WHERE orders.id = locked.id AND orders.id = ANY (string_to_array($1, ','))
  AND coalesce(orders.status, '') = 'pending' AND orders.holds_stock = 1
  AND orders.total_fee = payment.total AND orders.channel = payment.channel AND orders.transaction_id IS NULL
RETURNING orders.id, user_id, open_id, product_id, product_name, quantity, total_fee, refunded_fee,
    orders.channel, status, prepay_id AS offer, orders.transaction_id, failure, created_at, expires_at,
    orders.paid_at, channel_request, submitted_at, prepaid_at AS offered_at, checks, next_check_at,
    request_digest, holds_stock
