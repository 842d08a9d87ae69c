//! Stores callbacks: those that arrive at the same time in one transaction (group commit).

use std::time::{Duration, Instant};

use avalon_queue::{BatchWorker, Batches, Pace};
use jiff::Timestamp;
use serde::Serialize;
use sqlx::AnyConnection;

use super::super::PaymentError;
use super::Received;
use crate::base::base64_bytes;
use crate::base::ids::InboxId;
use crate::storage::config::Dialect;
use crate::storage::database::{Database, DatabaseError, Session};

/// Callbacks per transaction.
const MAX_PER_TRANSACTION: usize = 64;
/// Maximum number of stored callbacks that await an unknown key. Forgeries can cause any number of them;
/// the channel repeats a genuine one that is rejected now.
pub const MAX_UNVERIFIED: i64 = 1000;
/// How long a count of them is reused; callbacks that this process stores are added to it.
const COUNT_TTL: Duration = Duration::from_secs(1);

/// Stores callbacks in the inbox. Cheap to clone.
#[derive(Clone)]
pub struct InboxWriter(Batches<Received, Result<InboxId, PaymentError>>);

impl InboxWriter {
    /// Starts the writing task, which ends with the last handle.
    pub fn spawn(database: Database) -> Self {
        let writer = Writer {
            session: database.session(),
            database,
            unverified: Unverified::default(),
        };
        Self(Batches::spawn(
            MAX_PER_TRANSACTION,
            Pace::Immediate,
            [writer],
        ))
    }

    /// Stores a callback, and returns its id once it is on disk.
    ///
    /// # Errors
    /// [`PaymentError::Database`] and [`PaymentError::TooManyUnverified`]: it was not stored.
    pub async fn store(&self, received: Received) -> Result<InboxId, PaymentError> {
        let failed = |_| DatabaseError::Unavailable(sqlx::Error::PoolClosed);
        self.0.execute(received).await.map_err(failed)?
    }
}

struct Writer {
    session: Session,
    database: Database,
    unverified: Unverified,
}

impl BatchWorker for Writer {
    type Request = Received;
    type Response = Result<InboxId, PaymentError>;

    /// None is stored by itself after a failure: its caller answers 503, and the channel repeats the callback.
    async fn execute(&mut self, callbacks: Vec<Received>) -> Option<Vec<Self::Response>> {
        let (mut admitted, mut results) = (Vec::new(), Vec::with_capacity(callbacks.len()));
        for callback in callbacks {
            let admit = callback.verified || self.unverified.admit_one(&self.database).await;
            results.push(match admit {
                true => {
                    let row = InboxRow::new(callback);
                    let id = row.id;
                    admitted.push(row);
                    Ok(id)
                }
                false => Err(PaymentError::TooManyUnverified),
            });
        }
        if admitted.is_empty() {
            return Some(results);
        }
        let written = match self.database.dialect() {
            Dialect::Postgres => write_together(&mut self.session, &admitted).await,
            Dialect::Sqlite => write(&self.database, &admitted).await,
        };
        written
            .inspect_err(|error| {
                tracing::error!(%error, callbacks = admitted.len(), "payment callbacks were not stored");
            })
            .ok()?;
        Some(results)
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
struct InboxRow {
    id: InboxId,
    channel: &'static str,
    kind: &'static str,
    headers: String,
    #[serde(serialize_with = "base64_bytes::serialize")]
    body: Vec<u8>,
    verified: i16,
}

impl InboxRow {
    fn new(received: Received) -> Self {
        Self {
            id: InboxId::new(),
            channel: received.channel.into(),
            kind: received.kind.into(),
            headers: received.headers,
            body: received.body,
            verified: i16::from(received.verified),
        }
    }
}

/// Stores callbacks by one statement, once more on a new connection when the first one was lost: after a restart
/// of the server, WeChat should not have to repeat them.
async fn write_together(session: &mut Session, rows: &[InboxRow]) -> Result<(), DatabaseError> {
    let json = serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()))?;
    match session.run(async |it| insert(it, &json).await).await {
        Err(error) if error.is_transient() => session.run(async |it| insert(it, &json).await).await,
        done => done,
    }
}

async fn insert(connection: &mut AnyConnection, json: &str) -> Result<(), DatabaseError> {
    sqlx::query(include_str!("../sql/inbox_insert.sql"))
        .bind(json)
        .bind(Timestamp::now().as_millisecond())
        .execute(connection)
        .await?;
    Ok(())
}

async fn write(database: &Database, rows: &[InboxRow]) -> Result<(), DatabaseError> {
    let now = Timestamp::now().as_millisecond();
    let mut transaction = database.begin_uncontended().await?;
    for row in rows {
        sqlx::query(
            "INSERT INTO inbox (id, channel, kind, headers, body, received_at, verified)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(row.id)
        .bind(row.channel)
        .bind(row.kind)
        .bind(&row.headers)
        .bind(&row.body)
        .bind(now)
        .bind(row.verified)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(())
}
