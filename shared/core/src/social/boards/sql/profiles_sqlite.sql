-- Profiles of players by their ids, a JSON array. SQLite.
SELECT id, nickname, avatar_url, coalesce(banned_at, erased_at) AS banned_at FROM users WHERE id IN (SELECT value FROM json_each($1))
