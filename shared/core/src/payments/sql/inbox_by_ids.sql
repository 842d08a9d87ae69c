-- Callbacks by their ids, which are separated by commas. Postgres.
SELECT id, channel, kind, headers, body, verified, received_at, outcome
FROM inbox WHERE id = ANY (string_to_array($1, ','))
