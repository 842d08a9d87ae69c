-- Replaces a player's score of a window if the new one ranks before it.
INSERT INTO scores (board, window_key, user_id, score, sort_key, reached_at, extra, hidden, version, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9)
ON CONFLICT (board, window_key, user_id) DO UPDATE SET
    score = excluded.score, sort_key = excluded.sort_key,
    reached_at = excluded.reached_at, extra = excluded.extra,
    version = scores.version + 1, changed_at = excluded.changed_at
WHERE excluded.sort_key < scores.sort_key
RETURNING score, sort_key, reached_at, hidden, version
