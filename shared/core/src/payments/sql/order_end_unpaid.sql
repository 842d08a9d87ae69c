-- An order that was never submitted needs no final check.
UPDATE orders SET status = $1, failure = $2, ended_at = $3, holds_stock = 0,
                  next_check_at = CASE WHEN submitted_at IS NULL THEN NULL
                                  ELSE CAST($4 AS BIGINT) END
WHERE id = $5 AND status = 'pending'
RETURNING id, user_id, open_id, product_id, product_name, quantity, total_fee, refunded_fee, channel,
    status, prepay_id AS offer, transaction_id, failure, created_at, expires_at, paid_at,
    channel_request, submitted_at, prepaid_at AS offered_at, checks, next_check_at, request_digest,
    holds_stock
