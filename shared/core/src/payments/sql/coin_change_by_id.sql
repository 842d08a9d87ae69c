SELECT id, user_id, open_id, kind, order_id, amount, sandbox, state, reason, created_at, sent_at, balance,
    key_version, tries
FROM coin_changes WHERE id = $1
