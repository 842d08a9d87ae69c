//! Leaderboards. Scores are true in the table `scores`; rankings are read from an index that is derived from it.
//!
//! - A score is stored in one transaction, then applied to the index; a process of the fleet applies recent changes
//!   again, so that a crash in between is repaired within seconds.
//! - The order is the same everywhere: by score, then by the time when it was reached, then by the player's id.
//! - A window ends once: the archive is written under a lock that excludes scores.
//! - Hidden players (banned, or marked as cheats) and held scores are in no ranking that others see.

mod archive;
mod board;
mod checks;
mod clean_up;
mod closing;
pub mod config;
mod cursor;
mod definitions;
mod entries;
mod error;
mod granting;
mod groups;
mod held;
mod hiding;
mod hooks;
mod index;
mod leaderboard;
mod lookup;
mod marks;
mod metrics;
mod names;
mod plausibility;
mod prize;
mod prune;
mod runs;
mod score_row;
mod scores;
mod season;
mod settings;
mod sync;
mod table;
mod window_lock;
mod windows;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ulid::Ulid;

use crate::base::ids::UserId;
use crate::social::config::SocialConfig;
use crate::storage::database::Database;

pub use board::{Board, InvalidSetting, MAX_SCORE};
pub use checks::Check;
pub use closing::Ended;
pub use cursor::{Cursor, InvalidCursor};
pub use definitions::Definitions;
pub use entries::Entry;
pub use error::BoardError;
pub use groups::join as join_group;
pub use held::{HeldScore, Judged};
pub use hiding::{erase, repeat_bans, set_banned};
pub use index::{BoardIndex, Change, MemoryIndex, Position, RedisIndex, Start, View, ViewRequest};
pub use leaderboard::{Leaderboard, Query};
pub use lookup::{LookedUp, Lookup, MAX_PLAYERS as MAX_LOOKED_UP};
pub use marks::{Mark, Observation};
pub use metrics::BoardMetrics;
pub use names::{BoardName, InvalidName, WindowId, WindowKey};
pub use prize::Prize;
pub use runs::OpenedRun;
pub use scores::{NewScore, ScoreOutcome};
pub use season::{Season, SeasonTime};
pub use settings::{BoardSettings, Keep, Order, Runs, WindowKind, Writer};
pub use table::{rows as score_rows, view as view_table};
pub use windows::{Backlog, Window, WindowRow, WindowState, backlog, open as open_windows};

/// The leaderboards of a process. Cheap to clone.
#[derive(Clone)]
pub struct Boards {
    parts: Arc<Parts>,
}

/// What leaderboards are built from.
pub struct Parts {
    database: Database,
    definitions: Definitions,
    index: Arc<dyn BoardIndex>,
    metrics: BoardMetrics,
    run_ttl: Duration,
    sync: sync::Sync,
    /// Names this process among those that could keep the index current.
    process: String,
}

impl Deref for Boards {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// The answer to a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreAnswer {
    /// Whether it changed the player's score, as the player sees it.
    pub accepted: bool,
    /// The player's score.
    pub best: i64,
    /// The player's rank.
    pub rank: u64,
}

impl Boards {
    /// Opens the boards.
    pub fn new(
        database: &Database,
        index: Arc<dyn BoardIndex>,
        config: &SocialConfig,
        metrics: BoardMetrics,
    ) -> Self {
        for name in config.boards.0.keys() {
            metrics.board(name);
        }
        let parts = Parts {
            definitions: Definitions::new(database.clone(), &config.boards),
            database: database.clone(),
            index,
            metrics,
            run_ttl: config.run_ttl,
            sync: sync::Sync::default(),
            process: Ulid::generate().to_string(),
        };
        Self {
            parts: Arc::new(parts),
        }
    }

    /// Opens the boards, and keeps their index current until the last clone is dropped. Needs a runtime.
    pub fn spawn(
        database: &Database,
        index: Arc<dyn BoardIndex>,
        config: &SocialConfig,
        metrics: BoardMetrics,
    ) -> Self {
        let boards = Self::new(database, index, config, metrics);
        boards.keep_current();
        boards
    }

    /// The boards' settings.
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// Stores a score and returns what its player may know of it. The work continues when the caller is dropped.
    ///
    /// # Errors
    /// [`BoardError`].
    pub async fn submit(
        &self,
        board: &Arc<Board>,
        new: NewScore,
        now: Timestamp,
    ) -> Result<ScoreAnswer, BoardError> {
        let (boards, board) = (self.clone(), Arc::clone(board));
        let work = async move {
            let stored = scores::store(&boards.database, &board, &new, now).await;
            let stored = match stored {
                Ok(stored) => stored,
                Err(error) => {
                    boards.metrics.score(&board.name, outcome_of(&error));
                    return Err(error);
                }
            };
            boards.metrics.score(&board.name, stored.outcome);
            if let Some(change) = stored.change {
                boards.apply(&stored.window, change).await;
            }
            boards.answer(&board, &new, &stored, now).await
        };
        let crashed = |_| BoardError::Index("the task of a score crashed".to_owned());
        tokio::spawn(work).await.map_err(crashed)?
    }

    async fn answer(
        &self,
        board: &Board,
        new: &NewScore,
        stored: &scores::Stored,
        now: Timestamp,
    ) -> Result<ScoreAnswer, BoardError> {
        let row = windows::find(&self.database, &stored.window).await?;
        let own = match &row {
            Some(row) => self.own(board, row, new.user).await?,
            None => None,
        };
        let Some(own) = own else {
            // The window has ended since.
            return Ok(ScoreAnswer {
                accepted: true,
                best: new.score,
                rank: 1,
            });
        };
        let request = ViewRequest {
            start: Start::Top,
            limit: 0,
            counted: vec![own.place],
        };
        let view = self.view(&stored.window, &request, now).await?;
        let counts = board.settings.keep != Keep::Best || own.score == new.score;
        Ok(ScoreAnswer {
            accepted: counts && stored.outcome != ScoreOutcome::NotImproved,
            best: own.score,
            rank: view.counts.first().map_or(1, |before| before + 1),
        })
    }

    /// Counts a refusal that was decided before the score was read.
    pub fn refused(&self, board: &Board) {
        self.metrics.score(&board.name, ScoreOutcome::Refused);
    }

    /// Whether a player may report one more score in this minute. While it cannot be counted, it is allowed.
    pub async fn may_report(&self, board: &Board, user: UserId, now: Timestamp) -> bool {
        let count = self.index.count(&board.name, user, now).await;
        let allowed = count.is_ok_and(|count| count > u64::from(board.settings.per_minute));
        if allowed {
            self.metrics.score(&board.name, ScoreOutcome::RateLimited);
        }
        !allowed
    }

    /// Opens a run of a player.
    ///
    /// # Errors
    /// [`BoardError::Closed`] and [`BoardError::Database`].
    pub async fn open_run(
        &self,
        board: &Board,
        user: UserId,
        now: Timestamp,
    ) -> Result<OpenedRun, BoardError> {
        runs::open(&self.database, board, user, self.run_ttl, now).await
    }

    /// Lists held scores of a board, oldest first, from after `cursor`.
    ///
    /// # Errors
    /// [`BoardError::Database`].
    pub async fn held(
        &self,
        board: &BoardName,
        cursor: Option<&str>,
        limit: i64,
    ) -> Result<Vec<HeldScore>, BoardError> {
        held::list(&self.database, board, cursor, limit).await
    }

    /// Judges a held score, once. A released one counts as of the time when it was reported.
    ///
    /// # Errors
    /// [`BoardError::UnknownScore`] and [`BoardError::Database`].
    pub async fn judge(
        &self,
        board: &Board,
        id: &str,
        release: bool,
        now: Timestamp,
    ) -> Result<Judged, BoardError> {
        let judged = held::judge(&self.database, board, id, release, now).await?;
        if let Some(change) = judged.change {
            self.apply(&judged.window, change).await;
        }
        Ok(judged)
    }
}

fn outcome_of(error: &BoardError) -> ScoreOutcome {
    match error {
        BoardError::Closed => ScoreOutcome::Closed,
        BoardError::UnknownRun | BoardError::RunMissing => ScoreOutcome::InvalidRun,
        BoardError::OutOfRange | BoardError::UnknownPlayer => ScoreOutcome::Refused,
        _ => ScoreOutcome::Failed,
    }
}
