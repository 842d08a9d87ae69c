INSERT INTO orders (id, user_id, open_id, product_id, product_name, quantity, total_fee, channel,
                    status, idempotency_key, request_digest, holds_stock, created_at, expires_at,
                    next_check_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', $9, $10, 1, $11, $12, $13)
ON CONFLICT (user_id, idempotency_key) DO NOTHING
RETURNING id, user_id, open_id, product_id, product_name, quantity, total_fee, refunded_fee, channel,
    status, prepay_id AS offer, transaction_id, failure, created_at, expires_at, paid_at,
    channel_request, submitted_at, prepaid_at AS offered_at, checks, next_check_at, request_digest,
    holds_stock
