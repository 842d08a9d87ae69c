UPDATE orders SET status = 'paid', transaction_id = $1, paid_at = $2, ended_at = NULL,
                  next_check_at = NULL
WHERE id = $3 AND status IN ('pending', 'closed', 'failed') AND total_fee = $4
  AND $5 = 'CNY' AND channel = $6 AND transaction_id IS NULL
RETURNING id, user_id, open_id, product_id, product_name, quantity, total_fee, refunded_fee, channel,
    status, prepay_id AS offer, transaction_id, failure, created_at, expires_at, paid_at,
    channel_request, submitted_at, prepaid_at AS offered_at, checks, next_check_at, request_digest,
    holds_stock
