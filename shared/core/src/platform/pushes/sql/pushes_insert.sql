-- Stores pushes, and returns the ids of those that were not stored before. $1: one JSON object per push, its
-- body in base64. $2: our time, Unix ms. In the order of their keys, in which concurrent statements wait for
-- each other. Postgres.
INSERT INTO pushes (id, duplicate_key, query_key, event, credential, mode, format, body, received_at, outcome,
                    processed_at, open_id)
SELECT id, duplicate_key, query_key, event, credential, mode, format, decode(body, 'base64'), CAST($2 AS BIGINT),
       outcome, CASE WHEN outcome IS NULL THEN NULL ELSE CAST($2 AS BIGINT) END, open_id
FROM json_to_recordset(CAST($1 AS json)) AS received (
    id TEXT, duplicate_key TEXT, query_key TEXT, event TEXT, credential TEXT, mode TEXT, format TEXT, body TEXT,
    outcome TEXT, open_id TEXT)
ORDER BY duplicate_key
ON CONFLICT DO NOTHING
RETURNING id
