//! Compares the index of a window with the table. A difference while scores arrive may be one that is about to be
//! applied, so differing parts are compared again.

use std::time::Duration;

use jiff::Timestamp;

use super::Boards;
use super::error::BoardError;
use super::index::{Position, Start, ViewRequest};
use super::names::WindowId;
use super::{sync, table, windows};
use crate::storage::database::Database;

/// Places per comparison.
const PAGE: u64 = 500;
/// Parts of a window in a sample.
const SAMPLE: u64 = 20;
/// Pauses before a differing part is compared again.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// The result of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// Number of places that were compared.
    pub compared: u64,
    /// Number of those that differ.
    pub differences: u64,
}

impl Boards {
    /// Compares the index of every open window with the table by samples, and stores the results.
    ///
    /// # Errors
    /// [`BoardError`].
    pub async fn check_samples(&self) -> Result<Check, BoardError> {
        let mut sum = Check::default();
        for window in windows::open(&self.database).await? {
            let check = match self.check(&window.id, Some(SAMPLE)).await {
                // Being built: not comparable.
                Err(BoardError::Index(why)) => {
                    tracing::info!(window = %window.id, why, "the index of a board was not compared");
                    continue;
                }
                check => check?,
            };
            store(&self.database, &window.id, check, Timestamp::now()).await?;
            if check.differences > 0 {
                tracing::error!(
                    window = %window.id, differences = check.differences,
                    "the index of a board differs from the scores"
                );
            }
            sum.compared += check.compared;
            sum.differences += check.differences;
        }
        Ok(sum)
    }

    /// Compares an index with the table, all of it, and stores the result.
    ///
    /// # Errors
    /// [`BoardError::Index`] without an index, and others.
    pub async fn check_all(&self, window: &WindowId) -> Result<Check, BoardError> {
        let check = self.check(window, None).await?;
        store(&self.database, window, check, Timestamp::now()).await?;
        Ok(check)
    }

    async fn check(&self, window: &WindowId, parts: Option<u64>) -> Result<Check, BoardError> {
        let top = ViewRequest {
            start: Start::Top,
            limit: 0,
            counted: Vec::new(),
        };
        let total = table::view(&self.database, window, &top).await?.total;
        let pages = total.div_ceil(PAGE).max(1);
        let mut check = Check::default();
        let mut cursor = Start::Top;
        for page in 0..pages {
            let sampled = parts.filter(|parts| *parts < pages);
            if sampled.is_some_and(|parts| page > 0 && fastrand::u64(0..pages) >= parts) {
                // Skips forward by one statement, so that a sample costs little.
                let skipped = self.places_after(window, cursor).await?;
                let Some(last) = skipped else { break };
                cursor = last;
                continue;
            }
            let Some(next) = self.compare(window, cursor, &mut check).await? else {
                break;
            };
            cursor = next;
        }
        Ok(check)
    }

    async fn places_after(
        &self,
        window: &WindowId,
        start: Start,
    ) -> Result<Option<Start>, BoardError> {
        let request = ViewRequest {
            start,
            limit: PAGE,
            counted: Vec::new(),
        };
        let view = self.index_view(window, &request).await?;
        Ok(view.places.last().map(|last| Start::After(*last)))
    }

    /// Compares a page; returns where the next one begins.
    async fn compare(
        &self,
        window: &WindowId,
        start: Start,
        check: &mut Check,
    ) -> Result<Option<Start>, BoardError> {
        let request = ViewRequest {
            start,
            limit: PAGE,
            counted: Vec::new(),
        };
        let after = match start {
            Start::After(place) => Some(place),
            _ => None,
        };
        // The places alone cost no counting; the rank of a page follows from those before it.
        let ours = self.index_view(window, &request).await?;
        let mut truth = table::page(&self.database, window, after, PAGE).await?;
        let mut wrong = differing(&ours.places, &truth);
        for pause in PAUSES {
            if wrong == 0 {
                break;
            }
            tokio::time::sleep(pause).await;
            let ours = self.index_view(window, &request).await?;
            truth = table::page(&self.database, window, after, PAGE).await?;
            wrong = differing(&ours.places, &truth);
        }
        check.compared += truth.len() as u64;
        check.differences += wrong;
        Ok(truth.last().map(|last| Start::After(*last)))
    }

    async fn index_view(
        &self,
        window: &WindowId,
        request: &ViewRequest,
    ) -> Result<super::index::View, BoardError> {
        let since = sync::oldest_mark(Timestamp::now());
        let view = self.index.view(window, request, since).await?;
        view.ok_or_else(|| BoardError::Index("it is being built".to_owned()))
    }
}

fn differing(ours: &[Position], truth: &[Position]) -> u64 {
    let pairs = ours.iter().zip(truth);
    let wrong = pairs.filter(|(ours, truth)| ours != truth).count();
    (wrong + ours.len().abs_diff(truth.len())) as u64
}

async fn store(
    database: &Database,
    window: &WindowId,
    check: Check,
    now: Timestamp,
) -> Result<(), BoardError> {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    sqlx::query(
        "INSERT INTO board_checks (board, window_key, at, compared, differences)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (board, window_key) DO UPDATE SET
             at = excluded.at, compared = excluded.compared, differences = excluded.differences",
    )
    .bind(&window.board)
    .bind(&window.window)
    .bind(now.as_millisecond())
    .bind(signed(check.compared))
    .bind(signed(check.differences))
    .execute(database.pool())
    .await?;
    Ok(())
}
