//! Payment callbacks as they came: on disk before they are acknowledged. Writing goes through one
//! task that puts all that is waiting into one transaction (group commit).

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;
use tokio::sync::{mpsc, oneshot};
use ulid::Ulid;

use super::status::Channel;
use super::{PaymentError, damaged};
use crate::storage::database::{Database, DatabaseError};

/// Callbacks per transaction.
const MOST_PER_TRANSACTION: usize = 64;
/// Callbacks of unknown keys that wait to be judged, at most. Anybody can make them up; a true one that
/// is too many now is sent again by WeChat.
pub const MOST_UNVERIFIED: i64 = 1000;
/// How long a count of them is believed, but for what this process adds.
const COUNT_HOLDS: Duration = Duration::from_secs(1);

/// What a callback is about, by the route that it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallbackKind {
    /// A payment.
    Payment,
    /// A refund.
    Refund,
}

impl CallbackKind {
    /// The word in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Refund => "refund",
        }
    }
}

/// A callback that was received.
#[derive(Clone, Debug)]
pub struct Received {
    /// Through which channel.
    pub channel: Channel,
    /// About what.
    pub kind: CallbackKind,
    /// The headers that matter, as JSON.
    pub headers: String,
    /// The exact body.
    pub body: Vec<u8>,
    /// Whether a key at hand has verified it.
    pub verified: bool,
}

/// A callback in the inbox.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id here.
    pub id: String,
    /// As it came.
    pub received: Received,
    /// When, Unix ms.
    pub received_at: i64,
    /// What became of it; none: not processed yet.
    pub outcome: Option<String>,
}

/// Puts callbacks into the inbox. Cheap to clone.
#[derive(Clone)]
pub struct InboxWriter {
    queue: mpsc::Sender<Waiting>,
}

type Waiting = (Received, oneshot::Sender<Result<String, PaymentError>>);

impl InboxWriter {
    /// Starts the writing task; it ends with the last handle.
    pub fn spawn(database: Database) -> Self {
        let (queue, waiting) = mpsc::channel(MOST_PER_TRANSACTION * 4);
        tokio::spawn(write_all(database, waiting));
        Self { queue }
    }

    /// Keeps the callback; when this returns `Ok` it is on disk. Answers its id.
    ///
    /// # Errors
    /// [`PaymentError::Database`] and [`PaymentError::TooManyUnverified`]: it was not kept.
    pub async fn keep(&self, received: Received) -> Result<String, PaymentError> {
        let (told, answer) = oneshot::channel();
        let gone = || PaymentError::Database(DatabaseError::Unavailable(sqlx::Error::PoolClosed));
        self.queue
            .send((received, told))
            .await
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn write_all(database: Database, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(MOST_PER_TRANSACTION);
    let mut unverified = Unverified::default();
    while waiting.recv_many(&mut batch, MOST_PER_TRANSACTION).await > 0 {
        // Who has given up waiting has told WeChat so, and WeChat sends it again: keeping this one
        // too would only add to the load that made it late.
        batch.retain(|(_, told)| !told.is_closed());
        let (mut received, mut told) = (Vec::new(), Vec::new());
        for (callback, waiter) in batch.drain(..) {
            match callback.verified || unverified.admit_one(&database).await {
                true => {
                    received.push(callback);
                    told.push(waiter);
                }
                false => {
                    let _ = waiter.send(Err(PaymentError::TooManyUnverified));
                }
            }
        }
        if received.is_empty() {
            continue;
        }
        match write(&database, &received).await {
            Ok(ids) => {
                for (told, id) in told.into_iter().zip(ids) {
                    let _ = told.send(Ok(id));
                }
            }
            Err(error) => {
                tracing::error!(%error, callbacks = received.len(), "callbacks could not be kept");
                // Each waiter hears of it by its closed channel.
                drop(told);
            }
        }
    }
}

/// How many callbacks of unknown keys wait to be judged.
#[derive(Default)]
struct Unverified {
    counted_at: Option<Instant>,
    waiting: i64,
}

impl Unverified {
    /// Whether there is room for one more.
    async fn admit_one(&mut self, database: &Database) -> bool {
        let holds = self
            .counted_at
            .is_some_and(|counted_at| counted_at.elapsed() < COUNT_HOLDS);
        if !holds {
            match unverified(database).await {
                Ok(waiting) => {
                    self.waiting = waiting;
                    self.counted_at = Some(Instant::now());
                }
                Err(error) => {
                    tracing::error!(%error, "callbacks of unknown keys could not be counted");
                    return false;
                }
            }
        }
        let room = self.waiting < MOST_UNVERIFIED;
        self.waiting += i64::from(room);
        room
    }
}

/// Callbacks of unknown keys that wait to be judged; no further than [`MOST_UNVERIFIED`].
async fn unverified(database: &Database) -> Result<i64, PaymentError> {
    Ok(sqlx::query_scalar(
        "SELECT count(*) FROM
             (SELECT id FROM inbox WHERE outcome IS NULL AND verified = 0 LIMIT $1) AS waiting",
    )
    .bind(MOST_UNVERIFIED)
    .fetch_one(database.pool())
    .await?)
}

async fn write(database: &Database, batch: &[Received]) -> Result<Vec<String>, PaymentError> {
    let now = Timestamp::now().as_millisecond();
    let mut transaction = database.begin().await?;
    let mut ids = Vec::with_capacity(batch.len());
    for received in batch {
        let id = Ulid::generate().to_string();
        sqlx::query(
            "INSERT INTO inbox (id, channel, kind, headers, body, received_at, verified)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&id)
        .bind(received.channel.as_str())
        .bind(received.kind.as_str())
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

fn entry_of(row: &AnyRow) -> Result<Entry, PaymentError> {
    let word = |column: &str| row.try_get::<String, _>(column);
    Ok(Entry {
        id: row.try_get("id")?,
        received: Received {
            channel: word("channel")?
                .parse()
                .map_err(|_| damaged("inbox.channel"))?,
            kind: match word("kind")?.as_str() {
                "payment" => CallbackKind::Payment,
                "refund" => CallbackKind::Refund,
                _ => return Err(damaged("inbox.kind")),
            },
            headers: row.try_get("headers")?,
            body: row.try_get("body")?,
            verified: super::products::flag(row, "verified")?,
        },
        received_at: row.try_get("received_at")?,
        outcome: row.try_get("outcome")?,
    })
}

/// The callback, if there is one.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn by_id(database: &Database, id: &str) -> Result<Option<Entry>, PaymentError> {
    sqlx::query("SELECT * FROM inbox WHERE id = $1")
        .bind(id)
        .fetch_optional(database.pool())
        .await?
        .map(|row| entry_of(&row))
        .transpose()
}

/// It was processed.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn processed(database: &Database, id: &str, outcome: &str) -> Result<(), PaymentError> {
    sqlx::query(
        "UPDATE inbox SET outcome = $1, processed_at = $2 WHERE id = $3 AND outcome IS NULL",
    )
    .bind(outcome)
    .bind(Timestamp::now().as_millisecond())
    .bind(id)
    .execute(database.pool())
    .await?;
    Ok(())
}

/// Callbacks that were received before `before` (Unix ms) and not processed yet: those that were
/// verified at the door first, so that made-up ones can't stand in their way, then the oldest.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn unprocessed(
    database: &Database,
    before: i64,
    limit: i64,
) -> Result<Vec<String>, PaymentError> {
    let rows = sqlx::query(
        "SELECT id FROM inbox WHERE outcome IS NULL AND received_at <= $1
         ORDER BY verified DESC, received_at LIMIT $2",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(database.pool())
    .await?;
    Ok(rows
        .iter()
        .map(|row| row.try_get("id"))
        .collect::<Result<_, _>>()?)
}

/// Deletes the oldest of those that were processed before `before`, at most `limit`; answers how many.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn forget(
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
