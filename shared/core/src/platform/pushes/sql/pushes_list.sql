SELECT id, event, credential, mode, format, received_at, outcome, processed_at
FROM pushes
WHERE ($1 = '' OR event = $1) AND ($2 = '' OR coalesce(outcome, 'pending') = $2) AND ($3 = '' OR id < $3)
ORDER BY id DESC LIMIT $4
