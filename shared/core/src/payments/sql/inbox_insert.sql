-- Stores callbacks; may be repeated. $1: one JSON object per callback, its body in base64. $2: our time, Unix ms.
-- Postgres.
INSERT INTO inbox (id, channel, kind, headers, body, received_at, verified)
SELECT id, channel, kind, headers, decode(body, 'base64'), $2, verified
FROM json_to_recordset(CAST($1 AS json)) AS received (
    id TEXT, channel TEXT, kind TEXT, headers TEXT, body TEXT, verified SMALLINT)
ON CONFLICT (id) DO NOTHING
