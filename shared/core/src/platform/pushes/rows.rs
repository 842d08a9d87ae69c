//! The table `pushes`: reading, outcomes, replays, retention.

use std::str::FromStr;

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::Outcome;
use crate::base::ids::PushId;
use crate::base::iso_time::IsoTime;
use crate::storage::database::{Database, DatabaseError};

/// A stored push, without its message.
#[derive(Clone, Debug)]
pub struct StoredPush {
    /// Its id here.
    pub id: PushId,
    /// WeChat's name of the event; empty: none.
    pub event: String,
    /// Name of the credential that authenticated it.
    pub credential: String,
    /// `plain` or `secure`.
    pub mode: String,
    /// `json` or `xml`.
    pub format: String,
    /// Unix ms.
    pub received_at: i64,
    /// None: not processed yet.
    pub outcome: Option<Outcome>,
    /// Unix ms.
    pub processed_at: Option<i64>,
}

/// A state by which pushes are listed: `pending`, or an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushStatus {
    /// Not processed yet.
    Pending,
    /// Processed.
    Processed(Outcome),
}

impl PushStatus {
    /// The name of pushes without an outcome.
    pub const PENDING: &'static str = "pending";

    /// Returns the name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => Self::PENDING,
            Self::Processed(outcome) => outcome.into(),
        }
    }
}

impl FromStr for PushStatus {
    type Err = strum::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            Self::PENDING => Ok(Self::Pending),
            outcome => outcome.parse().map(Self::Processed),
        }
    }
}

impl StoredPush {
    /// Returns the state.
    pub fn status(&self) -> PushStatus {
        self.outcome
            .map_or(PushStatus::Pending, PushStatus::Processed)
    }

    /// Describes it to operators.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "event": self.event,
            "status": self.status().as_str(),
            "credential": self.credential,
            "mode": self.mode,
            "format": self.format,
            "receivedAt": IsoTime::from_millisecond(self.received_at),
            "processedAt": self.processed_at.and_then(IsoTime::from_millisecond),
        })
    }

    fn read(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.try_get("id")?,
            event: row.try_get("event")?,
            credential: row.try_get("credential")?,
            mode: row.try_get("mode")?,
            format: row.try_get("format")?,
            received_at: row.try_get("received_at")?,
            outcome: row.try_get("outcome")?,
            processed_at: row.try_get("processed_at")?,
        })
    }
}

/// Which pushes to list.
#[derive(Clone, Debug, Default)]
pub struct PushFilter {
    /// Only those of this event, by WeChat's name.
    pub event: Option<String>,
    /// Only those in this state.
    pub status: Option<PushStatus>,
    /// Only those older than this one.
    pub cursor: Option<PushId>,
    /// Maximum number.
    pub limit: i64,
}

/// Lists pushes, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(
    database: &Database,
    filter: &PushFilter,
) -> Result<Vec<StoredPush>, DatabaseError> {
    let cursor = filter.cursor.map(|id| id.to_string());
    sqlx::query(include_str!("sql/pushes_list.sql"))
        .bind(filter.event.as_deref().unwrap_or_default())
        .bind(filter.status.map_or("", PushStatus::as_str))
        .bind(cursor.unwrap_or_default())
        .bind(filter.limit)
        .fetch_all(database.pool())
        .await?
        .iter()
        .map(StoredPush::read)
        .collect()
}

/// Reads a push and its message.
///
/// # Errors
/// When the database fails.
pub async fn by_id(
    database: &Database,
    id: PushId,
) -> Result<Option<(StoredPush, String)>, DatabaseError> {
    let row = sqlx::query(
        "SELECT id, event, credential, mode, format, body, received_at, outcome, processed_at
         FROM pushes WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(database.pool())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let body: Vec<u8> = row.try_get("body")?;
    let body = String::from_utf8(body).map_err(|_| DatabaseError::Damaged("body".to_owned()))?;
    Ok(Some((StoredPush::read(&row)?, body)))
}

/// Records the outcome of a push that has none.
///
/// # Errors
/// When the database fails.
pub async fn processed(
    database: &Database,
    id: PushId,
    outcome: Outcome,
) -> Result<(), DatabaseError> {
    sqlx::query(
        "UPDATE pushes SET outcome = $1, processed_at = $2 WHERE id = $3 AND coalesce(outcome, '') = ''",
    )
    .bind(outcome)
    .bind(Timestamp::now().as_millisecond())
    .bind(id)
    .execute(database.pool())
    .await?;
    Ok(())
}

/// Makes a push pending again, so that a job processes it; `false` when it does not exist.
///
/// # Errors
/// When the database fails.
pub async fn replay(
    database: &Database,
    id: PushId,
    now: Timestamp,
) -> Result<bool, DatabaseError> {
    let changed = sqlx::query(
        "UPDATE pushes SET outcome = NULL, processed_at = NULL, replayed_at = $1 WHERE id = $2",
    )
    .bind(now.as_millisecond())
    .bind(id)
    .execute(database.pool())
    .await?;
    Ok(changed.rows_affected() > 0)
}

/// A push without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingPush {
    /// Its id here.
    pub id: PushId,
    /// When an operator last had it processed again, Unix ms.
    pub replayed_at: Option<i64>,
}

/// Lists pending pushes that were received before `before` (Unix ms), oldest first.
///
/// # Errors
/// When the database fails.
pub async fn unprocessed(
    database: &Database,
    before: i64,
    limit: i64,
) -> Result<Vec<PendingPush>, DatabaseError> {
    sqlx::query(
        "SELECT id, replayed_at FROM pushes WHERE outcome IS NULL AND received_at <= $1
         ORDER BY received_at LIMIT $2",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(database.pool())
    .await?
    .iter()
    .map(|row| {
        Ok(PendingPush {
            id: row.try_get("id")?,
            replayed_at: row.try_get("replayed_at")?,
        })
    })
    .collect()
}

/// Deletes up to `limit` pushes that were processed before `before`, oldest first; returns their number.
///
/// # Errors
/// When the database fails.
pub async fn delete_processed(
    database: &Database,
    before: Timestamp,
    limit: i64,
) -> Result<u64, DatabaseError> {
    let deleted = sqlx::query(
        "DELETE FROM pushes WHERE id IN
             (SELECT id FROM pushes WHERE processed_at < $1 ORDER BY processed_at LIMIT $2)",
    )
    .bind(before.as_millisecond())
    .bind(limit)
    .execute(database.pool())
    .await?;
    Ok(deleted.rows_affected())
}
