//! The transactional outbox of the service's own events: written in the transaction of what happened and
//! forwarded to the queue soon after. Forwarding an event twice is harmless, since its id identifies
//! what happened.

use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use ulid::Ulid;

use super::batch::{BatchHead, Client, EventBatch, EventLine, Player, Source};
use crate::storage::config::Dialect;
use crate::storage::database::{Database, DatabaseError, Session};

/// A claim that is older than this belongs to a process that died.
const CLAIM_MS: i64 = 30_000;

/// An event of the service.
#[derive(Debug)]
pub struct ServiceEvent<'a> {
    /// Derived from what happened, which it identifies.
    pub id: String,
    /// Our id of the player.
    pub user_id: String,
    /// WeChat's id of the player.
    pub open_id: &'a str,
    /// Event name.
    pub name: &'a str,
    /// Parameters, an object.
    pub params: Value,
}

impl ServiceEvent<'_> {
    /// The event as part of a batch, with its player.
    ///
    /// # Errors
    /// When the parameters cannot be serialised: a defect.
    pub fn line(&self, at: Timestamp) -> Result<(Player, EventLine), serde_json::Error> {
        let player = Player {
            user_id: self.user_id.clone(),
            open_id: Some(self.open_id.to_owned()),
        };
        let line = EventLine {
            name: self.name.to_owned(),
            params: to_raw_value(&self.params)?,
            at: at.as_millisecond(),
            id: Some(self.id.clone()),
            session_id: None,
            player: 0,
        };
        Ok((player, line))
    }
}

/// Inserts an event, in the transaction of what happened. Idempotent.
///
/// # Errors
/// The database's.
pub async fn insert(
    connection: &mut AnyConnection,
    event: &ServiceEvent<'_>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    insert_claimed(connection, event, now, 0).await
}

/// Inserts an event that the calling process holds: it forwards the event itself, from memory, once what it
/// reports is complete, and then [`delete`]s it. If it does neither in half a minute, because it died, the event
/// is claimed like any other.
///
/// # Errors
/// The database's.
pub async fn insert_held(
    connection: &mut AnyConnection,
    event: &ServiceEvent<'_>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    insert_claimed(connection, event, now, now.as_millisecond()).await
}

async fn insert_claimed(
    connection: &mut AnyConnection,
    event: &ServiceEvent<'_>,
    now: Timestamp,
    claimed_at: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO event_outbox (id, user_id, open_id, event_name, params, at, claimed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING",
    )
    .bind(&event.id)
    .bind(&event.user_id)
    .bind(event.open_id)
    .bind(event.name)
    .bind(event.params.to_string())
    .bind(now.as_millisecond())
    .bind(claimed_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes events that were forwarded.
///
/// # Errors
/// The database's. Events that were forwarded are forwarded once more then.
pub async fn delete(session: &mut Session, ids: &[String]) -> Result<(), DatabaseError> {
    // As an array or as JSON, whichever the dialect can read.
    let (statement, ids) = match session.dialect() {
        Dialect::Postgres => (
            "DELETE FROM event_outbox WHERE id = ANY (string_to_array($1, ','))",
            ids.join(","),
        ),
        Dialect::Sqlite => (
            "DELETE FROM event_outbox WHERE id IN (SELECT value FROM json_each($1))",
            Value::from(ids).to_string(),
        ),
    };
    session
        .run(async |connection| {
            let deleted = sqlx::query(statement).bind(ids).execute(connection).await;
            deleted.map(drop).map_err(DatabaseError::from)
        })
        .await
}

/// Deletes the event of something that did not happen.
///
/// # Errors
/// The database's.
pub async fn discard(database: &Database, id: &str) -> Result<(), DatabaseError> {
    sqlx::query("DELETE FROM event_outbox WHERE id = $1")
        .bind(id)
        .execute(database.pool())
        .await?;
    Ok(())
}

/// Claims up to `limit` waiting events, oldest first, as a batch; `None` if there are none. The caller
/// forwards the batch and then [`delete`]s its events.
///
/// # Errors
/// The database's.
pub async fn claim(
    database: &Database,
    now: Timestamp,
    limit: i64,
) -> Result<Option<EventBatch>, DatabaseError> {
    let now_ms = now.as_millisecond();
    let rows = sqlx::query(
        "UPDATE event_outbox SET claimed_at = $1 WHERE id IN
             (SELECT id FROM event_outbox WHERE claimed_at < $2 ORDER BY claimed_at LIMIT $3)
           AND claimed_at < $2
         RETURNING id, user_id, open_id, event_name, params, at",
    )
    .bind(now_ms)
    .bind(now_ms - CLAIM_MS)
    .bind(limit)
    .fetch_all(database.pool())
    .await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let events = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(batch_of(now, events)))
}

/// Puts events of the service into one batch.
pub fn batch_of(now: Timestamp, events: Vec<(Player, EventLine)>) -> EventBatch {
    let (players, lines): (Vec<_>, Vec<_>) = events.into_iter().unzip();
    let refer = |(player, line)| EventLine { player, ..line };
    EventBatch {
        head: BatchHead {
            id: Ulid::generate(),
            received_at: now.as_millisecond(),
            source: Source::Service,
            players,
            client: Client::default(),
        },
        events: lines.into_iter().enumerate().map(refer).collect(),
    }
}

fn read(row: &AnyRow) -> Result<(Player, EventLine), DatabaseError> {
    let params = RawValue::from_string(row.try_get("params")?)
        .map_err(|_| DatabaseError::Damaged("event_outbox.params".to_owned()))?;
    let player = Player {
        user_id: row.try_get("user_id")?,
        open_id: Some(row.try_get("open_id")?),
    };
    let line = EventLine {
        name: row.try_get("event_name")?,
        params,
        at: row.try_get("at")?,
        id: Some(row.try_get("id")?),
        session_id: None,
        player: 0,
    };
    Ok((player, line))
}
