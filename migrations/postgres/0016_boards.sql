-- Leaderboards. Scores are true here; the index in Redis or in the process is derived from them.
-- Settings that operators have changed; other boards are in the configuration.
CREATE TABLE boards (
    name              TEXT PRIMARY KEY,
    -- JSON, as PUT /admin/boards/{board}.
    settings          TEXT NOT NULL,
    updated_at        BIGINT NOT NULL
);

-- The windows in which there was a score. `open`: accepts scores; `ending`: archived, prizes are being granted;
-- `ended`.
CREATE TABLE board_windows (
    board             TEXT NOT NULL,
    window_key        TEXT NOT NULL,
    state             TEXT NOT NULL,
    -- 1: the highest score ranks first. Fixed when the window begins.
    descending        BIGINT NOT NULL,
    -- NULL: without a beginning or an end.
    starts_at         BIGINT,
    ends_at           BIGINT,
    -- When the job that ends it must act; NULL: never, or never again.
    due_at            BIGINT,
    -- JSON, as they were when the window ended.
    prizes            TEXT,
    -- Number of ranked players when it ended.
    players           BIGINT,
    -- Prizes are granted up to this rank.
    granted_to        BIGINT NOT NULL DEFAULT 0,
    archived_at       BIGINT,
    PRIMARY KEY (board, window_key)
);

CREATE INDEX board_windows_due ON board_windows (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX board_windows_open ON board_windows (board, window_key) WHERE state = 'open';

-- One row per player and window that has not ended.
CREATE TABLE scores (
    board             TEXT NOT NULL,
    window_key        TEXT NOT NULL,
    user_id           TEXT NOT NULL REFERENCES users (id),
    score             BIGINT NOT NULL,
    -- The score, negated where the highest ranks first: ascending order is the ranking.
    sort_key          BIGINT NOT NULL,
    -- When the player reached it: of equal scores the first ranks first.
    reached_at        BIGINT NOT NULL,
    extra             TEXT,
    -- 0: ranked. Otherwise the sum of: 1, the player is banned; 2, the player is marked as a cheat.
    hidden            BIGINT NOT NULL,
    -- Counts the changes of the row; the index ignores older ones.
    version           BIGINT NOT NULL,
    changed_at        BIGINT NOT NULL,
    PRIMARY KEY (user_id, board, window_key)
);

CREATE INDEX scores_ranked ON scores (board, window_key, sort_key, reached_at, user_id) WHERE hidden = 0;
CREATE INDEX scores_changed ON scores (changed_at);
-- To read all rows of a window, hidden ones too.
CREATE INDEX scores_window ON scores (board, window_key, user_id);

-- Runs that a client has opened.
CREATE TABLE score_runs (
    id                TEXT PRIMARY KEY,
    user_id           TEXT NOT NULL,
    board             TEXT NOT NULL,
    window_key        TEXT NOT NULL,
    started_at        BIGINT NOT NULL,
    expires_at        BIGINT NOT NULL,
    -- The score that used it; NULL: not used.
    score             BIGINT,
    used_at           BIGINT
);

CREATE INDEX score_runs_expires_at ON score_runs (expires_at);

-- Idempotency keys of scores that are added up or replaced.
CREATE TABLE score_keys (
    user_id           TEXT NOT NULL,
    request_key       TEXT NOT NULL,
    at                BIGINT NOT NULL,
    PRIMARY KEY (user_id, request_key)
);

CREATE INDEX score_keys_at ON score_keys (at);

-- Implausible scores, until an operator judges them.
CREATE TABLE held_scores (
    id                TEXT PRIMARY KEY,
    board             TEXT NOT NULL,
    window_key        TEXT NOT NULL,
    user_id           TEXT NOT NULL REFERENCES users (id),
    score             BIGINT NOT NULL,
    extra             TEXT,
    reason            TEXT NOT NULL,
    at                BIGINT NOT NULL,
    -- `released` or `rejected`; NULL: waits.
    verdict           TEXT,
    judged_at         BIGINT
);

CREATE INDEX held_scores_waiting ON held_scores (board, id) WHERE verdict IS NULL;
CREATE INDEX held_scores_judged ON held_scores (judged_at) WHERE judged_at IS NOT NULL;
CREATE INDEX held_scores_player ON held_scores (user_id, board, window_key);

-- The ranking of windows that have ended.
CREATE TABLE board_archive (
    board             TEXT NOT NULL,
    window_key        TEXT NOT NULL,
    rank              BIGINT NOT NULL,
    user_id           TEXT NOT NULL,
    score             BIGINT NOT NULL,
    PRIMARY KEY (board, window_key, rank)
);

CREATE UNIQUE INDEX board_archive_player ON board_archive (user_id, board, window_key);

-- Players on WeChat's list of cheats.
CREATE TABLE cheat_marks (
    user_id           TEXT PRIMARY KEY,
    -- WeChat's number of the kind of cheat, and its risk from 0 to 4.
    cheat_type        BIGINT NOT NULL,
    risk_level        BIGINT NOT NULL,
    -- The hour of the observation, yyyyMMddHH in Beijing time.
    observed          TEXT NOT NULL,
    marked_at         BIGINT NOT NULL,
    -- When an operator removed the mark; only a later observation marks the player again.
    cleared_at        BIGINT
);

-- Players who opened a card in a group of WeChat's.
CREATE TABLE group_members (
    group_id          TEXT NOT NULL,
    user_id           TEXT NOT NULL,
    expires_at        BIGINT NOT NULL,
    PRIMARY KEY (group_id, user_id)
);

CREATE INDEX group_members_user ON group_members (user_id, group_id);
CREATE INDEX group_members_expires_at ON group_members (expires_at);

-- The last comparison of each window's index with the scores.
CREATE TABLE board_checks (
    board             TEXT NOT NULL,
    window_key        TEXT NOT NULL,
    at                BIGINT NOT NULL,
    compared          BIGINT NOT NULL,
    differences       BIGINT NOT NULL,
    PRIMARY KEY (board, window_key)
);

-- Runs and keys live for hours; rows of scores change often. See 0012.
ALTER TABLE scores SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
