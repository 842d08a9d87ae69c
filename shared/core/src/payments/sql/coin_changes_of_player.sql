SELECT id, user_id, open_id, kind, order_id, amount, sandbox, state, reason, created_at, sent_at, balance,
    key_version, tries
FROM coin_changes WHERE user_id = (SELECT users.id FROM users WHERE users.open_id = $1)
ORDER BY created_at DESC, id LIMIT $2
