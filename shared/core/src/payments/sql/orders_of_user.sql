SELECT id, user_id, open_id, product_id, product_name, quantity, total_fee, refunded_fee, channel,
    status, prepay_id AS offer, transaction_id, failure, created_at, expires_at, paid_at,
    channel_request, submitted_at, prepaid_at AS offered_at, checks, next_check_at, request_digest,
    holds_stock
FROM orders
WHERE user_id = $1 AND ($2 = '' OR status = $2) AND ($3 = '' OR id < $3)
ORDER BY id DESC LIMIT $4
