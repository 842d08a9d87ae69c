//! How often events happened, and to how many players.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;

use super::day::Day;
use crate::storage::database::{Database, DatabaseError};

/// What an operator asks may take the database so long a statement; there are players too.
pub(super) const LONGEST: Duration = Duration::from_secs(30);

/// A time from one moment to before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From then on.
    pub from: Timestamp,
    /// Before then.
    pub to: Timestamp,
}

/// An event's numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventCount {
    /// The event.
    pub event_name: String,
    /// How often it happened.
    pub count: i64,
    /// To how many players.
    pub players: i64,
}

/// Counts one event or all of them, the most frequent first.
///
/// # Errors
/// The database's.
pub async fn count(
    database: &Database,
    span: Span,
    event_name: Option<&str>,
) -> Result<Vec<EventCount>, DatabaseError> {
    let mut transaction = database.begin_limited(LONGEST).await?;
    // The day lets Postgres leave out partitions.
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
