-- Orders by their ids, which are separated by commas. Postgres.
SELECT id, user_id, open_id, product_id, product_name, quantity, total_fee, refunded_fee, channel,
    status, prepay_id AS offer, transaction_id, failure, created_at, expires_at, paid_at,
    channel_request, submitted_at, prepaid_at AS offered_at, checks, next_check_at, request_digest,
    holds_stock
FROM orders WHERE id = ANY (string_to_array($1, ','))
