-- Who is banned, for the job that repeats bans in the players' sessions.
CREATE INDEX users_banned ON users (id) WHERE banned_at IS NOT NULL;
