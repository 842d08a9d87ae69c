INSERT INTO analytics_events (
    day, at, received_at, event_id, user_id, open_id, event_name, params, session_id, source,
    known, app_version, platform, scene, country, city
)
SELECT
    day, at, received_at, event_id, user_id, open_id, event_name, params, session_id, source,
    known, app_version, platform, scene, country, city
FROM staged_events
ORDER BY user_id COLLATE "C", event_id COLLATE "C"
ON CONFLICT DO NOTHING
