//! Counts of events and of their players.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;

use super::day::Day;
use crate::storage::database::{Database, DatabaseError};

/// Statement timeout of operators' queries, which must not starve players.
pub(super) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// A half-open time range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Start, inclusive.
    pub from: Timestamp,
    /// End, exclusive.
    pub to: Timestamp,
}

/// The counts of an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventCount {
    /// Name of the event.
    pub event_name: String,
    /// Number of events.
    pub count: i64,
    /// Number of different players.
    pub players: i64,
}

/// Counts one event or all, the most frequent first.
///
/// # Errors
/// The database's.
pub async fn count(
    database: &Database,
    span: Span,
    event_name: Option<&str>,
) -> Result<Vec<EventCount>, DatabaseError> {
    let mut transaction = database.begin_limited(STATEMENT_TIMEOUT).await?;
    // The condition on the day lets Postgres prune partitions.
    let rows = sqlx::query(
        "SELECT event_name, count(*) AS events, count(DISTINCT user_id) AS players
         FROM analytics_events
         WHERE day BETWEEN $1 AND $2 AND at >= $3 AND at < $4
           AND ($5 IS NULL OR event_name = $5)
         GROUP BY event_name
         ORDER BY events DESC, event_name",
    )
    .bind(Day::of(span.from).number())
    .bind(Day::of(span.to).number())
    .bind(span.from.as_millisecond())
    .bind(span.to.as_millisecond())
    .bind(event_name)
    .fetch_all(&mut *transaction)
    .await?;
    let count = |row: &sqlx::any::AnyRow| {
        Ok(EventCount {
            event_name: row.try_get("event_name")?,
            count: row.try_get("events")?,
            players: row.try_get("players")?,
        })
    };
    rows.iter().map(count).collect()
}
