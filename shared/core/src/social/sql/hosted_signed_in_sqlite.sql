-- Makes parked players due who have a newer session key than the refused one. $1: their ids, as a JSON list; $2: now.
UPDATE hosted_players SET due_at = $2
WHERE parked_version IS NOT NULL
  AND user_id IN (SELECT value FROM json_each($1))
  AND parked_version < (SELECT session_key_version FROM users WHERE users.id = hosted_players.user_id)
