//! Milestones of invited players: they reach theirs once, whoever reports it and however often.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row;

use super::config::Milestone;
use super::{InviteOutcome, Invites};
use crate::analytics::{EventBatch, Source};
use crate::base::ids::UserId;
use crate::storage::config::Dialect;
use crate::storage::database::DatabaseError;

/// The service's event of a payment.
const ORDER_PAID: &str = "order_paid";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Days for which a player who was away on the last day may still reach a milestone of days.
const LATE_DAYS: u32 = 30;

impl Invites {
    /// Returns the players to whom these events are the milestone. Of payments only the service's own events count:
    /// clients can send any.
    pub fn reached_by(&self, batch: &EventBatch) -> Vec<UserId> {
        let (name, of_service) = match &self.config.milestone {
            Some(Milestone::Event(name)) => (name.as_str(), false),
            Some(Milestone::Purchase) => (ORDER_PAID, true),
            Some(Milestone::Days(_)) | None => return Vec::new(),
        };
        if of_service && batch.head.source != Source::Service {
            return Vec::new();
        }
        let events = batch.events.iter().filter(|event| event.name == name);
        let players = events.filter_map(|event| batch.head.players.get(event.player));
        let mut players: Vec<UserId> = players.filter_map(|it| it.user_id.parse().ok()).collect();
        players.sort_unstable();
        players.dedup();
        players
    }

    /// Records that these players have reached the milestone. Those who were not invited, or have reached it before,
    /// stay as they are.
    ///
    /// # Errors
    /// The database's.
    pub async fn reach(&self, players: &[UserId], now: Timestamp) -> Result<u64, DatabaseError> {
        if players.is_empty() {
            return Ok(0);
        }
        let ids: Vec<String> = players.iter().map(ToString::to_string).collect();
        // As an array or as JSON, whichever the dialect can read.
        let (statement, ids) = match self.database.dialect() {
            Dialect::Postgres => (include_str!("../sql/invites_reach.sql"), ids.join(",")),
            Dialect::Sqlite => (
                "UPDATE invites SET state = 'reached', reached_at = $2, next_at = $2
                 WHERE user_id IN (SELECT value FROM json_each($1)) AND state = 'invited'",
                serde_json::json!(ids).to_string(),
            ),
        };
        let reached = sqlx::query(statement)
            .bind(ids)
            .bind(now.as_millisecond())
            .execute(self.database.pool())
            .await?
            .rows_affected();
        self.metrics.count(InviteOutcome::Reached, reached);
        Ok(reached)
    }

    /// Looks for invited players who have signed in again the configured number of days after they came, or up to a
    /// month later; returns how many have reached the milestone.
    ///
    /// # Errors
    /// The database's.
    pub async fn reach_by_days(&self, now: Timestamp, batch: i64) -> Result<u64, DatabaseError> {
        let Some(days) = self.config.days() else {
            return Ok(0);
        };
        let days_ms = millis(DAY * days);
        let newest = now.as_millisecond() - days_ms;
        // Exclusive: where the last batch ended.
        let mut after = (newest - millis(DAY * LATE_DAYS), String::new());
        let mut reached = 0;
        loop {
            let rows = sqlx::query(
                "SELECT user_id, at, last_login_at FROM invites JOIN users ON users.id = user_id
                 WHERE state = 'invited' AND at <= $1 AND (at > $2 OR at = $2 AND user_id > $3)
                 ORDER BY at, user_id LIMIT $4",
            )
            .bind(newest)
            .bind(after.0)
            .bind(&after.1)
            .bind(batch)
            .fetch_all(self.database.pool())
            .await?;
            let mut players = Vec::new();
            for row in &rows {
                let (user, at): (UserId, i64) = (row.try_get("user_id")?, row.try_get("at")?);
                let last_login: i64 = row.try_get("last_login_at")?;
                if last_login >= at + days_ms {
                    players.push(user);
                }
                after = (at, user.to_string());
            }
            reached += self.reach(&players, now).await?;
            if i64::try_from(rows.len()).is_ok_and(|count| count < batch) {
                return Ok(reached);
            }
        }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
