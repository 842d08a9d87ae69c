//! Payment callbacks as they were received: on disk before they are acknowledged. One task writes all
//! waiting callbacks in one transaction (group commit).

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;
use strum::{Display, EnumString, IntoStaticStr};
use tokio::sync::{mpsc, oneshot};

use super::status::Channel;
use super::{CallbackOutcome, PaymentError};
use crate::base::ids::InboxId;
use crate::base::stored_text::stored_as_text;
use crate::storage::config::Dialect;
use crate::storage::database::{Database, DatabaseError, Session};

/// Callbacks per transaction.
const MAX_PER_TRANSACTION: usize = 64;
/// Maximum number of stored callbacks that await an unknown key. Forgeries can cause any number of them;
/// the channel repeats a genuine one that is rejected now.
pub const MAX_UNVERIFIED: i64 = 1000;
/// How long a count of them is reused; callbacks that this process stores are added to it.
const COUNT_TTL: Duration = Duration::from_secs(1);

/// The subject of a callback, by the route that received it.
#[derive(Clone, Copy, Debug, Display, EnumString, IntoStaticStr, PartialEq, Eq)]
#[strum(serialize_all = "snake_case")]
pub enum CallbackKind {
    /// A payment.
    Payment,
    /// A refund.
    Refund,
}

stored_as_text!(CallbackKind);

/// A callback as it was received.
#[derive(Clone, Debug)]
pub struct Received {
    /// The payment channel that sent it.
    pub channel: Channel,
    /// The subject.
    pub kind: CallbackKind,
    /// The headers that the channel's signature needs, as JSON.
    pub headers: String,
    /// The exact body.
    pub body: Vec<u8>,
    /// Whether its signature was verified on receipt.
    pub verified: bool,
}

/// A callback in the inbox.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id here.
    pub id: InboxId,
    /// The callback.
    pub received: Received,
    /// Unix ms.
    pub received_at: i64,
    /// None: not processed yet.
    pub outcome: Option<CallbackOutcome>,
}

/// Stores callbacks in the inbox. Cheap to clone.
#[derive(Clone)]
pub struct InboxWriter {
    queue: mpsc::Sender<Waiting>,
}

type Waiting = (Received, oneshot::Sender<Result<InboxId, PaymentError>>);

impl InboxWriter {
    /// Starts the writing task, which ends with the last handle.
    pub fn spawn(database: Database) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_PER_TRANSACTION * 4);
        tokio::spawn(write_all(database, waiting));
        Self { queue }
    }

    /// Stores a callback, and returns its id once it is on disk.
    ///
    /// # Errors
    /// [`PaymentError::Database`] and [`PaymentError::TooManyUnverified`]: it was not stored.
    pub async fn store(&self, received: Received) -> Result<InboxId, PaymentError> {
        let (respond, response) = oneshot::channel();
        let gone = || PaymentError::Database(DatabaseError::Unavailable(sqlx::Error::PoolClosed));
        self.queue
            .send((received, respond))
            .await
            .map_err(|_| gone())?;
        response.await.map_err(|_| gone())?
    }
}

async fn write_all(database: Database, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(MAX_PER_TRANSACTION);
    let mut unverified = Unverified::default();
    let mut session = database.session();
    while waiting.recv_many(&mut batch, MAX_PER_TRANSACTION).await > 0 {
        // A waiter that has given up has answered 503, and the channel repeats the callback: storing this
        // one too would only add to the load that delayed it.
        batch.retain(|(_, waiter)| !waiter.is_closed());
        let (mut received, mut waiters) = (Vec::new(), Vec::new());
        for (callback, waiter) in batch.drain(..) {
            match callback.verified || unverified.admit_one(&database).await {
                true => {
                    received.push(callback);
                    waiters.push(waiter);
                }
                false => {
                    let _ = waiter.send(Err(PaymentError::TooManyUnverified));
                }
            }
        }
        if received.is_empty() {
            continue;
        }
        let written = match database.dialect() {
            Dialect::Postgres => write_together(&mut session, &received).await,
            Dialect::Sqlite => write(&database, &received).await,
        };
        match written {
            Ok(ids) => {
                for (waiter, id) in waiters.into_iter().zip(ids) {
                    let _ = waiter.send(Ok(id));
                }
            }
            Err(error) => {
                tracing::error!(%error, callbacks = received.len(), "payment callbacks were not stored");
                // Each waiter notices its closed channel.
                drop(waiters);
            }
        }
    }
}

/// The cached number of callbacks that await an unknown key.
#[derive(Default)]
struct Unverified {
    counted_at: Option<Instant>,
    waiting: i64,
}

impl Unverified {
    /// Whether one more may be stored.
    async fn admit_one(&mut self, database: &Database) -> bool {
        let fresh = self
            .counted_at
            .is_some_and(|counted_at| counted_at.elapsed() < COUNT_TTL);
        if !fresh {
            match unverified(database).await {
                Ok(waiting) => {
                    self.waiting = waiting;
                    self.counted_at = Some(Instant::now());
                }
                Err(error) => {
                    tracing::error!(%error, "unverified payment callbacks could not be counted");
                    return false;
                }
            }
        }
        let room = self.waiting < MAX_UNVERIFIED;
        self.waiting += i64::from(room);
        room
    }
}

/// Counts the callbacks that await an unknown key, up to [`MAX_UNVERIFIED`].
async fn unverified(database: &Database) -> Result<i64, PaymentError> {
    Ok(sqlx::query_scalar(
        "SELECT count(*) FROM
             (SELECT id FROM inbox WHERE outcome IS NULL AND verified = 0 LIMIT $1) AS waiting",
    )
    .bind(MAX_UNVERIFIED)
    .fetch_one(database.pool())
    .await?)
}

/// A callback as `sql/inbox_insert.sql` reads it.
#[derive(Serialize)]
struct InboxRow<'a> {
    id: InboxId,
    channel: &'static str,
    kind: &'static str,
    headers: &'a str,
    body: String,
    verified: u8,
}

/// Stores callbacks by one statement.
async fn write_together(
    session: &mut Session,
    batch: &[Received],
) -> Result<Vec<InboxId>, PaymentError> {
    let rows: Vec<_> = batch
        .iter()
        .map(|received| InboxRow {
            id: InboxId::new(),
            channel: received.channel.into(),
            kind: received.kind.into(),
            headers: &received.headers,
            body: STANDARD.encode(&received.body),
            verified: u8::from(received.verified),
        })
        .collect();
    let json = serde_json::to_string(&rows).map_err(|error| sqlx::Error::Encode(error.into()))?;
    session
        .run(async |connection| {
            sqlx::query(include_str!("sql/inbox_insert.sql"))
                .bind(json)
                .bind(Timestamp::now().as_millisecond())
                .execute(connection)
                .await
                .map_err(PaymentError::from)
        })
        .await?;
    Ok(rows.iter().map(|row| row.id).collect())
}

async fn write(database: &Database, batch: &[Received]) -> Result<Vec<InboxId>, PaymentError> {
    let now = Timestamp::now().as_millisecond();
    let mut transaction = database.begin_uncontended().await?;
    let mut ids = Vec::with_capacity(batch.len());
    for received in batch {
        let id = InboxId::new();
        sqlx::query(
            "INSERT INTO inbox (id, channel, kind, headers, body, received_at, verified)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(id)
        .bind(received.channel)
        .bind(received.kind)
        .bind(&received.headers)
        .bind(&received.body)
        .bind(now)
        .bind(i16::from(received.verified))
        .execute(&mut *transaction)
        .await?;
        ids.push(id);
    }
    transaction.commit().await?;
    Ok(ids)
}

pub(super) fn entry_of(row: &AnyRow) -> Result<Entry, PaymentError> {
    Ok(Entry {
        id: row.try_get("id")?,
        received: Received {
            channel: row.try_get("channel")?,
            kind: row.try_get("kind")?,
            headers: row.try_get("headers")?,
            body: row.try_get("body")?,
            verified: super::products::flag(row, "verified")?,
        },
        received_at: row.try_get("received_at")?,
        outcome: row.try_get("outcome")?,
    })
}

/// Reads a callback.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn by_id(database: &Database, id: InboxId) -> Result<Option<Entry>, PaymentError> {
    let row = sqlx::query(
        "SELECT id, channel, kind, headers, body, verified, received_at, outcome
         FROM inbox WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(database.pool())
    .await?;
    row.map(|row| entry_of(&row)).transpose()
}

/// Records the outcome of a callback. A forged one is deleted: its row would be of no use, and anyone can
/// have rows stored.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn processed(
    database: &Database,
    id: InboxId,
    outcome: CallbackOutcome,
) -> Result<(), PaymentError> {
    if outcome.is_forged() {
        sqlx::query("DELETE FROM inbox WHERE id = $1")
            .bind(id)
            .execute(database.pool())
            .await?;
        return Ok(());
    }
    sqlx::query(
        "UPDATE inbox SET outcome = $1, processed_at = $2 WHERE id = $3 AND coalesce(outcome, '') = ''",
    )
    .bind(outcome)
    .bind(Timestamp::now().as_millisecond())
    .bind(id)
    .execute(database.pool())
    .await?;
    Ok(())
}

/// Lists unprocessed callbacks that were received before `before` (Unix ms): those that were verified on
/// receipt first, so that forgeries cannot delay them, then the oldest.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn unprocessed(
    database: &Database,
    before: i64,
    limit: i64,
) -> Result<Vec<InboxId>, PaymentError> {
    Ok(sqlx::query_scalar(
        "SELECT id FROM inbox WHERE outcome IS NULL AND received_at <= $1
         ORDER BY verified DESC, received_at LIMIT $2",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(database.pool())
    .await?)
}

/// Deletes up to `limit` callbacks that were processed before `before`, oldest first; returns their number.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn delete_processed(
    database: &Database,
    before: Timestamp,
    limit: i64,
) -> Result<u64, PaymentError> {
    let deleted = sqlx::query(
        "DELETE FROM inbox WHERE id IN
             (SELECT id FROM inbox WHERE processed_at < $1 ORDER BY processed_at LIMIT $2)",
    )
    .bind(before.as_millisecond())
    .bind(limit)
    .execute(database.pool())
    .await?;
    Ok(deleted.rows_affected())
}
