-- Shares, who saw and opened them, invitations and their rewards. Times are Unix milliseconds.
-- Scenes that operators have set. Those of the configuration are not here; a row takes precedence over them.
CREATE TABLE share_scenes (
    scene             TEXT PRIMARY KEY,
    -- JSON, as PUT /admin/shares/{scene} received it.
    definition        TEXT NOT NULL,
    updated_at        BIGINT NOT NULL
);

CREATE TABLE shares (
    -- A ULID. The id that clients see adds a signature.
    id                TEXT PRIMARY KEY,
    user_id           TEXT NOT NULL,
    scene             TEXT NOT NULL,
    -- Name of the variant; empty: the scene has none.
    variant           TEXT NOT NULL,
    channel           TEXT NOT NULL,
    created_at        BIGINT NOT NULL
);

CREATE INDEX shares_user ON shares (user_id, id);
CREATE INDEX shares_created_at ON shares (created_at);

-- What other players than the sharer did with a share, each once.
CREATE TABLE share_events (
    share_id          TEXT NOT NULL,
    -- `shown` or `opened`.
    event             TEXT NOT NULL,
    user_id           TEXT NOT NULL,
    -- WeChat's id of the group in which it was opened, if known.
    group_id          TEXT,
    at                BIGINT NOT NULL,
    PRIMARY KEY (share_id, event, user_id)
);

CREATE INDEX share_events_user ON share_events (user_id, share_id);

CREATE TABLE invite_codes (
    user_id           TEXT PRIMARY KEY,
    code              TEXT NOT NULL UNIQUE,
    created_at        BIGINT NOT NULL
);

-- Who invited a player, written by the player's first sign-in: never changed, and one for ever. No reference to the
-- inviter, whose row all sign-ins of the invited players would lock.
CREATE TABLE invites (
    user_id           TEXT PRIMARY KEY REFERENCES users (id),
    inviter_id        TEXT NOT NULL CHECK (inviter_id <> user_id),
    -- The share that led to it; NULL: a code alone.
    share_id          TEXT,
    -- Digest of the client's name of the device.
    device            TEXT,
    -- Address of the first sign-in, for WeChat's risk rank; removed once the rewards are decided.
    client_ip         TEXT,
    at                BIGINT NOT NULL,
    state             TEXT NOT NULL
        CHECK (state IN ('invited', 'reached', 'rewarded', 'capped', 'exhausted', 'refused')),
    reached_at        BIGINT,
    -- When its reward is to be decided; NULL: not now.
    next_at           BIGINT,
    settled_at        BIGINT,
    -- Which one of all rewarded invitations it is, from 1: counts the budget.
    number            BIGINT
);

CREATE INDEX invites_inviter ON invites (inviter_id, at);
CREATE INDEX invites_settled ON invites (inviter_id, state, settled_at);
CREATE INDEX invites_waiting ON invites (at) WHERE state = 'invited';
CREATE INDEX invites_due ON invites (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX invites_client_ip ON invites (at) WHERE client_ip IS NOT NULL;
CREATE INDEX invites_share ON invites (share_id) WHERE share_id IS NOT NULL;
CREATE UNIQUE INDEX invites_number ON invites (number) WHERE number IS NOT NULL;
