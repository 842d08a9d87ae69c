-- Events of a group, and the days on which their players were active. Both are in the order of the arrays, so
-- that two writers of the same rows do not deadlock.
WITH active AS (
    INSERT INTO analytics_user_days (user_id, day)
    SELECT user_id, day FROM unnest($17::text[], $18::bigint[]) AS seen (user_id, day)
    ON CONFLICT DO NOTHING
)
INSERT INTO analytics_events (
    day, at, received_at, event_id, user_id, open_id, event_name, params, session_id, source,
    known, app_version, platform, scene, country, city
)
SELECT
    day, at, received_at, event_id, user_id, open_id, event_name, CAST(params AS JSONB), session_id, source,
    known, app_version, platform, scene, country, city
FROM unnest(
    $1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::text[], $11::smallint[], $12::text[], $13::text[], $14::bigint[], $15::text[], $16::text[]
) AS event (
    day, at, received_at, event_id, user_id, open_id, event_name, params, session_id, source,
    known, app_version, platform, scene, country, city
)
ON CONFLICT DO NOTHING
