-- Stores the requests of pending orders to their channels, unless they have one. $1: the ids of the orders, separated by commas.
-- $2: the requests, as JSON. Rows are locked in the order of their ids, so that two processes do not deadlock. Postgres.
WITH asked AS (
    SELECT order_id, request, at
    FROM json_to_recordset(CAST($2 AS json)) AS asked (order_id TEXT, request TEXT, at BIGINT)
), locked AS (
    SELECT id FROM orders WHERE id = ANY (string_to_array($1, ',')) ORDER BY id FOR UPDATE
)
UPDATE orders SET channel_request = coalesce(channel_request, asked.request),
                  submitted_at = coalesce(submitted_at, asked.at)
FROM locked JOIN asked ON asked.order_id = locked.id
-- The state is no search condition: the index of pending orders would be read as a whole.
WHERE orders.id = locked.id AND orders.id = ANY (string_to_array($1, ','))
  AND coalesce(orders.status, '') = 'pending'
RETURNING orders.id, channel_request
