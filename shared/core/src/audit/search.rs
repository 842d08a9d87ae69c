//! Queries on the audit log: events by kind, player and time, newest first.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;
use ulid::Ulid;

use super::AuditKind;
use crate::base::ids::UserId;
use crate::base::iso_time;
use crate::storage::database::{Database, DatabaseError};

/// Selects events.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Of this kind.
    pub kind: Option<AuditKind>,
    /// About this player.
    pub user: Option<UserId>,
    /// At this time or later.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// Older than this event.
    pub cursor: Option<Ulid>,
    /// Maximum number of events.
    pub limit: i64,
}

/// An event as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// A ULID, ordered by time.
    #[serde(rename = "_id")]
    pub id: String,
    /// Time of the event: ISO 8601, UTC.
    #[serde(serialize_with = "iso_time::serialize")]
    pub at: Timestamp,
    /// May be a kind that this version does not know.
    pub kind: String,
    /// The player concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The session concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Who caused it.
    pub actor: String,
    /// IP address of the actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Further facts, by kind.
    pub detail: Value,
}

/// Returns events, newest first.
///
/// # Errors
/// [`DatabaseError`].
pub async fn events(
    database: &Database,
    filter: &AuditFilter,
) -> Result<Vec<AuditRecord>, DatabaseError> {
    let (from, to) = ids(filter);
    // A statement for each combination, since each has an index.
    let sql = match (filter.kind, filter.user) {
        (None, None) => {
            "SELECT id, at, kind, user_id, session_id, actor, address, detail FROM audit_events
             WHERE id >= $1 AND id < $2 ORDER BY id DESC LIMIT $3"
        }
        (Some(_), None) => {
            "SELECT id, at, kind, user_id, session_id, actor, address, detail FROM audit_events
             WHERE id >= $1 AND id < $2 AND kind = $4 ORDER BY id DESC LIMIT $3"
        }
        (None, Some(_)) => {
            "SELECT id, at, kind, user_id, session_id, actor, address, detail FROM audit_events
             WHERE id >= $1 AND id < $2 AND user_id = $4 ORDER BY id DESC LIMIT $3"
        }
        (Some(_), Some(_)) => {
            "SELECT id, at, kind, user_id, session_id, actor, address, detail FROM audit_events
             WHERE id >= $1 AND id < $2 AND kind = $4 AND user_id = $5 ORDER BY id DESC LIMIT $3"
        }
    };
    let mut query = sqlx::query(sql).bind(from).bind(to).bind(filter.limit);
    if let Some(kind) = filter.kind {
        query = query.bind(<&str>::from(kind));
    }
    if let Some(user) = filter.user {
        query = query.bind(user.to_string());
    }
    let rows = query.fetch_all(database.pool()).await?;
    rows.iter().map(record_of).collect()
}

/// The id range of a time range and a cursor: the first id, and the first one after the last.
fn ids(filter: &AuditFilter) -> (String, String) {
    let first = |time: Timestamp| {
        let ms = u64::try_from(time.as_millisecond()).unwrap_or(0);
        // Ids end in the year 10889.
        Ulid::from_parts(ms.min((1 << Ulid::TIME_BITS) - 1), 0)
    };
    let last = Ulid::from(u128::MAX);
    let to = filter.to.map_or(last, first);
    let to = filter.cursor.map_or(to, |cursor| cursor.min(to));
    let from = filter.from.map_or(Ulid::from(0), first);
    (from.to_string(), to.to_string())
}

fn record_of(row: &AnyRow) -> Result<AuditRecord, DatabaseError> {
    let damaged = |column: &str| DatabaseError::Damaged(format!("audit_events.{column}"));
    let detail: String = row.try_get("detail")?;
    Ok(AuditRecord {
        id: row.try_get("id")?,
        at: Timestamp::from_millisecond(row.try_get("at")?).map_err(|_| damaged("at"))?,
        kind: row.try_get("kind")?,
        user_id: row.try_get("user_id")?,
        session_id: row.try_get("session_id")?,
        actor: row.try_get("actor")?,
        address: row.try_get("address")?,
        detail: serde_json::from_str(&detail).map_err(|_| damaged("detail"))?,
    })
}
