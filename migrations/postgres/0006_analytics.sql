-- Events of players, who was active on which day, the event catalogue, and events of our own that wait to
-- be passed on. Times are Unix milliseconds; days are counted from 1970-01-01 by Beijing time.
-- Ids and names are compared byte by byte: nobody sorts them by a language's rules, which is slow.
CREATE TABLE analytics_events (
    day               BIGINT NOT NULL,
    -- When it happened, by our clock.
    at                BIGINT NOT NULL,
    received_at       BIGINT NOT NULL,
    -- The client's own name of the event, unique for the player; or made from its batch.
    event_id          TEXT COLLATE "C" NOT NULL,
    user_id           TEXT COLLATE "C" NOT NULL,
    open_id           TEXT,
    event_name        TEXT COLLATE "C" NOT NULL,
    params            JSONB NOT NULL,
    session_id        TEXT,
    -- `client`, `service` or `game`.
    source            TEXT NOT NULL,
    -- Whether the catalogue knows the event.
    known             SMALLINT NOT NULL,
    app_version       TEXT,
    platform          TEXT,
    scene             BIGINT,
    country           TEXT,
    city              TEXT,
    -- The day is in it because partitions want it so; an event's day never changes.
    PRIMARY KEY (user_id, event_id, day)
) PARTITION BY RANGE (day);

-- Counts, players and funnels of one event over a time, from the index alone.
CREATE INDEX analytics_events_name ON analytics_events (event_name, at, user_id);

-- Outlives the events: retention is asked for over a longer time than these are kept.
CREATE TABLE analytics_user_days (
    user_id           TEXT COLLATE "C" NOT NULL,
    day               BIGINT NOT NULL,
    PRIMARY KEY (user_id, day)
);

CREATE INDEX analytics_user_days_day ON analytics_user_days (day, user_id);

CREATE TABLE event_definitions (
    event_name        TEXT PRIMARY KEY,
    -- JSON Schema of the parameters; NULL: any.
    schema            TEXT,
    -- JSON list of names of parameters that are removed.
    sensitive         TEXT NOT NULL,
    -- Of 10,000 players, those whose events are kept.
    sample            BIGINT NOT NULL CHECK (sample BETWEEN 0 AND 10000),
    updated_at        BIGINT NOT NULL
);

-- Events of the service itself; written with what they tell of, removed when they are in the queue.
CREATE TABLE event_outbox (
    -- Also the event's id: one for each thing that happened.
    id                TEXT PRIMARY KEY,
    user_id           TEXT NOT NULL,
    open_id           TEXT NOT NULL,
    event_name        TEXT NOT NULL,
    params            TEXT NOT NULL,
    at                BIGINT NOT NULL,
    -- When somebody last began to pass it on; 0: nobody.
    claimed_at        BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX event_outbox_claimed ON event_outbox (claimed_at);
