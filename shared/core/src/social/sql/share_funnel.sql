-- The funnel of the shares issued between $1 and $2 (Unix ms), by day in Beijing, scene, variant and channel; and the
-- players who came by a code alone in that time, by the day on which they came, without a scene.
-- Spending: what invited players paid within 7 days after they were attributed, less refunds. Postgres sums big
-- integers as NUMERIC.
WITH cohort AS (
    SELECT id, scene, variant, channel, (created_at + 28800000) / 86400000 AS day
    FROM shares WHERE created_at >= $1 AND created_at < $2
), seen AS (
    SELECT share_id, count(CASE WHEN event = 'shown' THEN 1 END) AS shown,
           count(CASE WHEN event = 'opened' THEN 1 END) AS opened
    FROM share_events JOIN cohort ON cohort.id = share_id
    GROUP BY share_id
), invited AS (
    SELECT user_id, share_id, number, invites.at FROM invites JOIN cohort ON cohort.id = share_id
    UNION ALL
    SELECT user_id, share_id, number, at FROM invites WHERE share_id IS NULL AND at >= $1 AND at < $2
), spending AS (
    SELECT invited.share_id, invited.number, invited.at, coalesce((
               SELECT sum(total_fee - refunded_fee) FROM orders
               WHERE orders.user_id = invited.user_id AND paid_at >= invited.at
                 AND paid_at < invited.at + 604800000
           ), 0) AS spent
    FROM invited
), joined AS (
    SELECT share_id, count(*) AS players, count(number) AS rewarded, sum(spent) AS spent
    FROM spending WHERE share_id IS NOT NULL
    GROUP BY share_id
)
SELECT day, scene, variant, channel, count(*) AS issued,
       CAST(coalesce(sum(shown), 0) AS BIGINT) AS shown,
       CAST(coalesce(sum(opened), 0) AS BIGINT) AS opened,
       CAST(coalesce(sum(players), 0) AS BIGINT) AS players,
       CAST(coalesce(sum(rewarded), 0) AS BIGINT) AS rewarded,
       CAST(coalesce(sum(spent), 0) AS BIGINT) AS spent
FROM cohort
    LEFT JOIN seen ON seen.share_id = cohort.id
    LEFT JOIN joined ON joined.share_id = cohort.id
GROUP BY day, scene, variant, channel
UNION ALL
SELECT (at + 28800000) / 86400000, '', '', 'invite_code', 0, 0, 0, count(*), count(number),
       CAST(sum(spent) AS BIGINT)
FROM spending WHERE share_id IS NULL
GROUP BY (at + 28800000) / 86400000
ORDER BY day, scene, variant, channel
LIMIT 10000
