SELECT id, user_id, open_id, product_id, product_name, quantity, total_fee, refunded_fee, channel,
    status, prepay_id AS offer, transaction_id, failure, created_at, expires_at, paid_at,
    channel_request, submitted_at, prepaid_at AS offered_at, checks, next_check_at, request_digest,
    holds_stock
FROM orders
WHERE ($1 = '' OR status = $1) AND ($2 = '' OR open_id = $2)
  AND created_at >= $3 AND created_at < $4 AND ($5 = '' OR id < $5)
ORDER BY id DESC LIMIT $6
