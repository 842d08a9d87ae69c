-- Profiles of players by their ids, which are separated by commas. Postgres.
SELECT id, nickname, avatar_url, coalesce(banned_at, erased_at) AS banned_at FROM users WHERE id = ANY (string_to_array($1, ','))
