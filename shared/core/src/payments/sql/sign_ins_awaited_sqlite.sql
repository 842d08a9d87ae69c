-- Those of some players for whom a query of an order, a change of coins or a comparison of coins waits until they sign in.
-- $1: the players' ids, as a JSON list.
SELECT user_id FROM orders_awaiting_sign_in WHERE user_id IN (SELECT value FROM json_each($1))
UNION
SELECT user_id FROM coin_changes WHERE user_id IN (SELECT value FROM json_each($1)) AND key_version IS NOT NULL
UNION
SELECT user_id FROM coin_audits WHERE user_id IN (SELECT value FROM json_each($1)) AND coalesce(due_at, -1) = -1
