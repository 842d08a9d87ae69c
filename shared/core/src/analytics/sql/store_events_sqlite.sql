-- Of a player who was erased, only that there was an event.
INSERT INTO analytics_events (
    day, at, received_at, event_id, user_id, open_id, event_name, params, session_id, source,
    known, app_version, platform, scene, country, city
)
SELECT
    e.value ->> 0, e.value ->> 1, e.value ->> 2, e.value ->> 3, e.value ->> 4,
    CASE WHEN u.erased_at IS NULL THEN coalesce(e.value ->> 5, u.open_id) END, e.value ->> 6,
    CASE WHEN u.erased_at IS NULL THEN e.value -> 7 ELSE '{}' END,
    CASE WHEN u.erased_at IS NULL THEN e.value ->> 8 END, e.value ->> 9,
    e.value ->> 10, e.value ->> 11, e.value ->> 12, e.value ->> 13, u.country, u.city
FROM json_each($1) e LEFT JOIN users u ON u.id = e.value ->> 4
WHERE true
ON CONFLICT DO NOTHING
