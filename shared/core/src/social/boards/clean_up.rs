//! Deletes the scores of a window that has ended, in batches. Each batch also intends their removal from WeChat's
//! friends ranking, in the same transaction, so that none is forgotten whatever is killed.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row;

use super::Boards;
use super::error::BoardError;
use super::names::WindowId;
use crate::base::ids::UserId;
use crate::social::hosted::{self, EndedScores};

/// Scores per batch.
const BATCH: i64 = 1000;
/// The removals of a batch at WeChat are due this long after those of the batch before: half of what the sweeper
/// enqueues, so that scores of the next window do not wait for them.
const BATCH_EVERY: Duration = Duration::from_secs(20);

impl Boards {
    /// Deletes the scores of a window that accepts none any more.
    pub(super) async fn delete_scores(
        &self,
        id: &WindowId,
        now: Timestamp,
    ) -> Result<(), BoardError> {
        let hosted_key: Option<String> = sqlx::query_scalar(
            "SELECT hosted_key FROM board_windows WHERE board = $1 AND window_key = $2",
        )
        .bind(&id.board)
        .bind(&id.window)
        .fetch_one(self.database.pool())
        .await?;
        let mut delay = Duration::ZERO;
        while self
            .delete_batch(id, hosted_key.as_deref(), now, delay)
            .await?
        {
            delay += BATCH_EVERY;
        }
        Ok(())
    }

    /// Deletes a batch; returns whether more may be left.
    async fn delete_batch(
        &self,
        id: &WindowId,
        hosted_key: Option<&str>,
        now: Timestamp,
        delay: Duration,
    ) -> Result<bool, BoardError> {
        let mut transaction = self.database.begin().await?;
        let batch = sqlx::query(
            "SELECT max(user_id) AS last, count(*) AS players FROM (
                 SELECT user_id FROM scores WHERE board = $1 AND window_key = $2
                 ORDER BY user_id LIMIT $3) AS batch",
        )
        .bind(&id.board)
        .bind(&id.window)
        .bind(BATCH)
        .fetch_one(&mut *transaction)
        .await?;
        let Some(last) = batch.try_get::<Option<UserId>, _>("last")? else {
            return Ok(false);
        };
        if let Some(key) = hosted_key {
            let scores = EndedScores {
                board: id.board.as_str(),
                window: id.window.as_str(),
                last,
            };
            hosted::intend_removal(&mut transaction, key, &scores, now, delay).await?;
        }
        sqlx::query("DELETE FROM scores WHERE board = $1 AND window_key = $2 AND user_id <= $3")
            .bind(&id.board)
            .bind(&id.window)
            .bind(last)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(batch.try_get::<i64, _>("players")? == BATCH)
    }
}
