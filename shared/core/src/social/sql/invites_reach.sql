-- $1: ids of players, separated by commas. The state is no search condition, since the index of waiting invitations
-- would be read as a whole. Postgres.
UPDATE invites SET state = 'reached', reached_at = $2, next_at = $2
WHERE user_id = ANY (string_to_array($1, ',')) AND coalesce(state, '') = 'invited'
