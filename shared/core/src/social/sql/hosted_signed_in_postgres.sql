-- Makes parked players due who have a newer session key than the refused one. $1: their ids, as a JSON list; $2: now.
UPDATE hosted_players SET due_at = $2
WHERE parked_version IS NOT NULL
  AND user_id IN (SELECT json_array_elements_text(CAST($1 AS json)))
  AND parked_version < (SELECT session_key_version FROM users WHERE users.id = hosted_players.user_id)
