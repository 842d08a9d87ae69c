-- Raises the revision of the players whose scores are to be removed from WeChat's ranking, in the order of their ids,
-- so that two jobs do not wait for each other. $1: board; $2: window; $3: key; $4: last player; $5: when due.
INSERT INTO hosted_players (user_id, revision, due_at, claimed_until, attempts)
SELECT ended.user_id, 1, $5, 0, 0
FROM scores AS ended
JOIN hosted_scores AS h ON h.user_id = ended.user_id AND h.key = $3
WHERE ended.board = $1 AND ended.window_key = $2 AND ended.user_id <= $4 AND h.score IS NOT NULL
  AND NOT EXISTS (
      SELECT 1 FROM scores AS other
      JOIN board_windows AS w ON w.board = other.board AND w.window_key = other.window_key
      WHERE other.user_id = ended.user_id AND other.board = $1 AND other.window_key <> $2 AND w.state = 'open'
  )
ORDER BY ended.user_id
ON CONFLICT (user_id) DO UPDATE SET revision = hosted_players.revision + 1,
    due_at = coalesce(hosted_players.due_at, excluded.due_at)
