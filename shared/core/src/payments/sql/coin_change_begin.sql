UPDATE coin_changes
SET state = CASE WHEN sent_at <= $1 THEN 'unsettled' ELSE state END,
    sent_at = coalesce(sent_at, $2), tries = tries + 1, key_version = NULL,
    next_try_at = CASE WHEN sent_at <= $1 THEN NULL ELSE CAST($3 AS BIGINT) END
WHERE id = $4 AND state = 'pending'
RETURNING id, user_id, open_id, kind, order_id, amount, sandbox, state, reason, created_at, sent_at, balance,
    key_version, tries
