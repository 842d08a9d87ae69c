UPDATE refunds SET status = $1, channel_refund_id = coalesce($2, channel_refund_id), revoked = $3,
                   ended_at = $4,
                   next_check_at = CASE WHEN $5 = 1 THEN NULL
                                   ELSE coalesce(next_check_at, CAST($6 AS BIGINT)) END
WHERE id = $7
RETURNING id, order_id, amount, quantity, reason, status, revoked, channel_request,
          channel_refund_id, checks, request_digest, idempotency_key
