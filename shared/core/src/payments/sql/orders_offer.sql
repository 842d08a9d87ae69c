-- Stores the offers of channels. $1: the ids of the orders, separated by commas. $2: the offers, as JSON. Rows are locked in the
-- order of their ids, so that two processes do not deadlock. Postgres.
WITH offer AS (
    SELECT order_id, reference, at
    FROM json_to_recordset(CAST($2 AS json)) AS offer (order_id TEXT, reference TEXT, at BIGINT)
), locked AS (
    SELECT id FROM orders WHERE id = ANY (string_to_array($1, ',')) ORDER BY id FOR UPDATE
)
UPDATE orders SET prepay_id = coalesce(offer.reference, prepay_id), prepaid_at = offer.at
FROM locked JOIN offer ON offer.order_id = locked.id
WHERE orders.id = locked.id AND orders.id = ANY (string_to_array($1, ','))
RETURNING orders.id, status
