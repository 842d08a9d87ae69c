-- Removes the scores of these players, once no intent of theirs can be stored. $1: board; $2: window; $3: key;
-- $4: last player; $5: now.
UPDATE hosted_scores SET score = NULL, at = $5,
    revision = (SELECT p.revision FROM hosted_players AS p WHERE p.user_id = hosted_scores.user_id)
WHERE key = $3 AND score IS NOT NULL
  AND user_id IN (
      SELECT ended.user_id FROM scores AS ended
      WHERE ended.board = $1 AND ended.window_key = $2 AND ended.user_id <= $4
  )
  AND NOT EXISTS (
      SELECT 1 FROM scores AS other
      JOIN board_windows AS w ON w.board = other.board AND w.window_key = other.window_key
      WHERE other.user_id = hosted_scores.user_id AND other.board = $1 AND other.window_key <> $2 AND w.state = 'open'
  )
