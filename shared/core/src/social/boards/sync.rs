//! Keeps the index equal to the table. Every writer applies its own change after its commit; one process of the
//! fleet also applies all recent changes again, which repairs what a killed process or an outage of Redis left
//! out, and builds the index of windows that have none.
//!
//! The mark of an index is set only after all changes up to it were applied. A lost index has no mark, so that
//! reading falls back to the table at once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;

use super::Boards;
use super::error::BoardError;
use super::index::{BoardIndex, Change};
use super::names::WindowId;
use super::table::{self, ChangeCursor};
use super::windows;
use crate::base::ids::UserId;
use crate::storage::database::Database;

/// Time between two runs.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long after the time in its row a change may be committed: longer than a transaction takes that is not
/// ended by its limits, and than clocks differ.
const OVERLAP: Duration = Duration::from_secs(15);
/// An index that is further behind is built again.
const MAX_BEHIND: Duration = Duration::from_secs(300);
/// An index whose mark is older is not read.
pub(super) const MAX_LAG: Duration = Duration::from_secs(10);
/// Rows per statement.
const PAGE: i64 = 5000;

/// Changes that were applied, with their versions.
type Applied = HashMap<(WindowId, UserId), i64>;

/// The state of the process that keeps the index current.
#[derive(Default)]
pub(super) struct Sync {
    applied: tokio::sync::Mutex<Applied>,
    building: Mutex<HashSet<WindowId>>,
}

fn minus(at: Timestamp, span: Duration) -> Timestamp {
    at.checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// The oldest mark with which an index is read.
pub(super) fn oldest_mark(now: Timestamp) -> Timestamp {
    minus(now, MAX_LAG)
}

impl Boards {
    /// Starts keeping the index current, until the last clone is dropped.
    pub(super) fn keep_current(&self) {
        let parts = Arc::downgrade(&self.parts);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(parts) = parts.upgrade() else { return };
                let boards = Self { parts };
                if let Err(error) = boards.synchronise(Timestamp::now()).await {
                    tracing::debug!(%error, "the index of boards is not current, will retry");
                }
            }
        });
    }

    /// Applies all recent changes to the index, and begins to build what is missing. Does nothing in a process that
    /// does not lead.
    ///
    /// # Errors
    /// [`BoardError`].
    pub async fn synchronise(&self, now: Timestamp) -> Result<(), BoardError> {
        if !self.index.lead(&self.process).await? {
            self.sync.applied.lock().await.clear();
            return Ok(());
        }
        let mut current = HashSet::new();
        let mut from = now;
        for window in windows::open(&self.database).await? {
            match self.index.mark(&window.id).await? {
                Some(mark) if mark >= minus(now, MAX_BEHIND) => {
                    from = from.min(mark);
                    current.insert(window.id);
                }
                _ => self.build_in_background(window.id),
            }
        }
        if !current.is_empty() {
            self.apply_since(minus(from, OVERLAP), &current).await?;
        }
        for window in &current {
            self.index.set_mark(window, now, false).await?;
        }
        Ok(())
    }

    /// Applies what has changed since then, except what the last run has applied.
    async fn apply_since(
        &self,
        from: Timestamp,
        current: &HashSet<WindowId>,
    ) -> Result<(), BoardError> {
        let mut applied = self.sync.applied.lock().await;
        let mut seen = Applied::new();
        let mut cursor = Some(ChangeCursor::from(from.as_millisecond()));
        while let Some(from) = cursor {
            let (changes, next) = table::changes(&self.database, &from, PAGE).await?;
            let mut new: HashMap<WindowId, Vec<Change>> = HashMap::new();
            for (window, change) in changes {
                if !current.contains(&window) {
                    continue;
                }
                let row = (window, change.position.user);
                if applied.get(&row) != Some(&change.version) {
                    new.entry(row.0.clone()).or_default().push(change);
                }
                seen.insert(row, change.version);
            }
            for (window, changes) in &new {
                self.index.apply(window, changes).await?;
            }
            cursor = next;
        }
        *applied = seen;
        Ok(())
    }

    fn build_in_background(&self, window: WindowId) {
        let mut building = self.building();
        // One at a time: a large one takes the database's time.
        if !building.is_empty() {
            return;
        }
        building.insert(window.clone());
        drop(building);
        let boards = self.clone();
        tokio::spawn(async move {
            let built = boards.rebuild(&window).await;
            boards.building().remove(&window);
            match built {
                Ok(rows) => tracing::info!(%window, rows, "the index of a board was built"),
                Err(error) => {
                    tracing::warn!(%window, %error, "the index of a board was not built, will retry");
                }
            }
        });
    }

    fn building(&self) -> std::sync::MutexGuard<'_, HashSet<WindowId>> {
        let building = self.sync.building.lock();
        building.unwrap_or_else(PoisonError::into_inner)
    }

    /// Builds the index of a window from the table, while scores arrive; returns the number of rows.
    ///
    /// # Errors
    /// [`BoardError`].
    pub async fn rebuild(&self, window: &WindowId) -> Result<u64, BoardError> {
        // What the last run has applied is removed here.
        self.sync.applied.lock().await.clear();
        build(&self.database, &*self.index, window).await
    }
}

/// Builds an index. Changes that are committed meanwhile are applied by their writers or, from the mark on, by the
/// process that keeps the index current.
async fn build(
    database: &Database,
    index: &dyn BoardIndex,
    window: &WindowId,
) -> Result<u64, BoardError> {
    let begun = Timestamp::now();
    index.clear(window).await?;
    let (mut after, mut count) = (None, 0);
    loop {
        let rows = table::rows(database, window, after, PAGE).await?;
        index.apply(window, &rows).await?;
        count += rows.len() as u64;
        match rows.last() {
            Some(last) if i64::try_from(rows.len()) == Ok(PAGE) => after = Some(last.position.user),
            _ => break,
        }
    }
    index.set_mark(window, begun, true).await?;
    Ok(count)
}
