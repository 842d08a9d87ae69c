-- Those of some players for whom a query of an order, a change of coins or a comparison of coins waits until they sign in.
-- $1: the players' ids, separated by commas; as an array, so that the planner uses the keys however few rows it knows of.
SELECT user_id FROM orders_awaiting_sign_in WHERE user_id = ANY (string_to_array($1, ','))
UNION
SELECT user_id FROM coin_changes WHERE user_id = ANY (string_to_array($1, ',')) AND key_version IS NOT NULL
UNION
-- The time is no search condition: the index of those who are due would be read as a whole.
SELECT user_id FROM coin_audits WHERE user_id = ANY (string_to_array($1, ',')) AND coalesce(due_at, -1) = -1
