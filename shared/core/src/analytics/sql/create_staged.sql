CREATE TEMPORARY TABLE staged_events (
    day BIGINT, at BIGINT, received_at BIGINT, event_id TEXT, user_id TEXT, open_id TEXT,
    event_name TEXT, params JSONB, session_id TEXT, source TEXT, known SMALLINT,
    app_version TEXT, platform TEXT, scene BIGINT, country TEXT, city TEXT
) ON COMMIT DELETE ROWS
