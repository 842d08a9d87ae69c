//! The index of rankings: derived from the table `scores`, and lost at any time. Engines: sorted sets in Redis,
//! and a list in the process for the embedded engine.
//!
//! A window's index has a mark, the time up to which it has all changes of the table. Only an index whose mark is
//! recent is read; without one, reading falls back to the table, and the index is built again. Changes carry the
//! version of their row, so that they may be applied in any order and repeatedly.

mod memory;
mod redis;

use async_trait::async_trait;
use jiff::Timestamp;

use super::error::BoardError;
use super::names::{BoardName, WindowId};
use crate::base::ids::UserId;

pub use memory::MemoryIndex;
pub use redis::RedisIndex;

/// A player's place: ascending positions are the ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The score, negated where the highest ranks first.
    pub sort_key: i64,
    /// When the player reached it, Unix ms.
    pub reached_at: i64,
    /// Of equal scores of one millisecond, the smaller id ranks first.
    pub user: UserId,
}

/// A version of a player's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The player and, if ranked, the place.
    pub position: Position,
    /// Whether others see it.
    pub ranked: bool,
    /// Of the row.
    pub version: i64,
}

/// Where a part of a ranking begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The first player.
    Top,
    /// After this place, which may be empty meanwhile.
    After(Position),
    /// With this place in the middle; nearer to an end, a full page at that end.
    Around(Position),
}

/// What is read of a ranking at one moment.
#[derive(Clone, Debug)]
pub struct ViewRequest {
    /// Where the part begins.
    pub start: Start,
    /// Maximum number of places.
    pub limit: u64,
    /// Places whose number of players before them is wanted.
    pub counted: Vec<Position>,
}

/// A part of a ranking.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Number of ranked players.
    pub total: u64,
    /// Number of players before the first of `places`.
    pub before: u64,
    /// The places.
    pub places: Vec<Position>,
    /// For each of `counted`, the number of players before it.
    pub counts: Vec<u64>,
}

/// Returns the first rank, from 0, of a page around rank `at` of `total` players.
pub(super) fn centred(at: u64, total: u64, limit: u64) -> u64 {
    let last = total.saturating_sub(limit);
    at.saturating_sub(limit / 2).min(last)
}

/// An index. Every error is temporary.
#[async_trait]
pub trait BoardIndex: Send + Sync {
    /// Applies changes; versions that are not newer than the known one change nothing.
    ///
    /// # Errors
    /// [`BoardError::Index`].
    async fn apply(&self, window: &WindowId, changes: &[Change]) -> Result<(), BoardError>;

    /// Reads a part; `None` unless the mark is `since` or later.
    ///
    /// # Errors
    /// [`BoardError::Index`].
    async fn view(
        &self,
        window: &WindowId,
        request: &ViewRequest,
        since: Timestamp,
    ) -> Result<Option<View>, BoardError>;

    /// Returns the mark.
    ///
    /// # Errors
    /// [`BoardError::Index`].
    async fn mark(&self, window: &WindowId) -> Result<Option<Timestamp>, BoardError>;

    /// Sets the mark, if there is one or `create` is set.
    ///
    /// # Errors
    /// [`BoardError::Index`].
    async fn set_mark(
        &self,
        window: &WindowId,
        mark: Timestamp,
        create: bool,
    ) -> Result<(), BoardError>;

    /// Removes the mark and all places, at once.
    ///
    /// # Errors
    /// [`BoardError::Index`].
    async fn clear(&self, window: &WindowId) -> Result<(), BoardError>;

    /// Lets one process keep the index current, for some seconds from now on.
    ///
    /// # Errors
    /// [`BoardError::Index`].
    async fn lead(&self, process: &str) -> Result<bool, BoardError>;

    /// Counts a score of a player; returns the number in this minute.
    ///
    /// # Errors
    /// [`BoardError::Index`].
    async fn count(
        &self,
        board: &BoardName,
        user: UserId,
        now: Timestamp,
    ) -> Result<u64, BoardError>;
}
