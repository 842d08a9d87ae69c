//! Deletes what is no longer needed: runs and keys of requests, memberships, verdicts.

use std::time::Duration;

use jiff::Timestamp;

use super::Boards;
use super::error::BoardError;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Retention of judged scores.
const JUDGED: Duration = DAY.saturating_mul(90);

impl Boards {
    /// Deletes up to `batch` rows of each kind; returns the largest number deleted of a kind.
    ///
    /// # Errors
    /// [`BoardError::Database`].
    pub async fn prune(&self, now: Timestamp, batch: i64) -> Result<u64, BoardError> {
        let mut most = 0;
        for (sql, retention) in [
            (
                "DELETE FROM score_runs WHERE id IN (
                     SELECT id FROM score_runs WHERE expires_at <= $1 LIMIT $2)",
                DAY,
            ),
            (
                "DELETE FROM score_keys WHERE (user_id, request_key) IN (
                     SELECT user_id, request_key FROM score_keys WHERE at <= $1 LIMIT $2)",
                DAY.saturating_mul(2),
            ),
            (
                "DELETE FROM group_members WHERE (group_id, user_id) IN (
                     SELECT group_id, user_id FROM group_members WHERE expires_at <= $1 LIMIT $2)",
                Duration::ZERO,
            ),
            (
                "DELETE FROM held_scores WHERE id IN (
                     SELECT id FROM held_scores WHERE judged_at <= $1 LIMIT $2)",
                JUDGED,
            ),
        ] {
            let before = now.checked_sub(retention).unwrap_or(Timestamp::MIN);
            let deleted = sqlx::query(sql)
                .bind(before.as_millisecond())
                .bind(batch)
                .execute(self.database.pool())
                .await?;
            most = most.max(deleted.rows_affected());
        }
        Ok(most)
    }
}
