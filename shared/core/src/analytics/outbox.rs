//! The transactional outbox of the service's own events: written in the transaction of what happened and
//! forwarded to the queue soon after. Forwarding an event twice is harmless, since its id identifies
//! what happened.

use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use ulid::Ulid;

use super::batch::{BatchHead, Client, EventBatch, EventLine, Player, Source};
use crate::storage::database::{Database, DatabaseError};

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

/// Inserts an event of something that is not complete yet: it is forwarded once it is [`release`]d, or
/// if it is neither released nor discarded in half a minute, because its process died.
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

/// Releases held events, after what they report has happened.
///
/// # Errors
/// The database's.
pub async fn release(database: &Database, ids: &[String]) -> Result<(), DatabaseError> {
    each(
        database,
        ids.iter().map(String::as_str),
        "UPDATE event_outbox SET claimed_at = 0 WHERE id = $1",
    )
    .await
}

/// Deletes a held event: what it reports did not happen.
///
/// # Errors
/// The database's.
pub async fn discard(database: &Database, id: &str) -> Result<(), DatabaseError> {
    each(database, [id].into_iter(), DELETE).await
}

const DELETE: &str = "DELETE FROM event_outbox WHERE id = $1";

async fn each(
    database: &Database,
    ids: impl Iterator<Item = &str> + Send,
    statement: &'static str,
) -> Result<(), DatabaseError> {
    let mut transaction = database.begin().await?;
    for id in ids {
        sqlx::query(statement)
            .bind(id)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Claims up to `limit` waiting events, oldest first, as a batch; `None` if there are none. The caller
/// forwards the batch and then calls [`delete_forwarded`].
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
    let mut batch = EventBatch {
        head: BatchHead {
            id: Ulid::generate(),
            received_at: now_ms,
            source: Source::Service,
            players: Vec::with_capacity(rows.len()),
            client: Client::default(),
        },
        events: Vec::with_capacity(rows.len()),
    };
    for row in &rows {
        let (player, mut line) = read(row)?;
        line.player = batch.head.players.len();
        batch.head.players.push(player);
        batch.events.push(line);
    }
    Ok(Some(batch))
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

/// Deletes the events of a batch that is in the queue.
///
/// # Errors
/// The database's. The events are forwarded once more then.
pub async fn delete_forwarded(
    database: &Database,
    batch: &EventBatch,
) -> Result<(), DatabaseError> {
    let ids = batch.events.iter();
    each(
        database,
        ids.filter_map(|event| event.id.as_deref()),
        DELETE,
    )
    .await
}
