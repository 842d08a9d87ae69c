COPY analytics_events (
    day, at, received_at, event_id, user_id, open_id, event_name, params, session_id, source,
    known, app_version, platform, scene, country, city
) FROM STDIN
