//! Stores pushes on receipt. One task writes all waiting pushes in one transaction (group commit). Repeated
//! deliveries are recognised by unique keys, so it does not matter which process receives them.

use std::collections::HashSet;

use avalon_wechat::message_push::{Push, PushFormat, PushMode};
use avalon_wechat::virtual_payment::AppKeys;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;
use tokio::sync::{mpsc, oneshot};

use super::Outcome;
use crate::base::ids::PushId;
use crate::storage::config::Dialect;
use crate::storage::database::{Database, DatabaseError, Session};

/// Pushes per transaction.
const MAX_PER_TRANSACTION: usize = 64;
/// Maximum length of a stored event name, in characters; WeChat's have up to 50.
const MAX_EVENT: usize = 100;

/// A push to be stored.
#[derive(Clone, Debug, Serialize)]
pub struct NewPush {
    id: PushId,
    duplicate_key: String,
    query_key: Option<String>,
    event: String,
    credential: String,
    mode: &'static str,
    format: &'static str,
    #[serde(serialize_with = "base64")]
    body: Vec<u8>,
    outcome: Option<Outcome>,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is on disk.
    New(PushId),
    /// It was on disk already.
    Duplicate,
    /// Not stored: another message was received under the same signed query, in plain mode.
    Replayed,
}

impl NewPush {
    /// Describes an authentic push with its outcome, if that is known on receipt.
    pub fn new(push: &Push, keys: &AppKeys, outcome: Option<Outcome>) -> Self {
        let event = push.envelope.event.as_deref().unwrap_or_default();
        let plain = push.mode == PushMode::Plain;
        Self {
            id: PushId::new(),
            duplicate_key: storable(push.duplicate_key(keys).as_str()),
            query_key: plain.then(|| storable(push.query_key().as_str())),
            event: storable(event).chars().take(MAX_EVENT).collect(),
            credential: push.credential.clone(),
            mode: match push.mode {
                PushMode::Plain => "plain",
                PushMode::Secure => "secure",
            },
            format: match push.format {
                PushFormat::Json => "json",
                PushFormat::Xml => "xml",
            },
            body: push.message.clone().into_bytes(),
            outcome,
        }
    }
}

/// Replaces NUL, which Postgres does not store in texts.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn base64<S: serde::Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(body))
}

/// Stores pushes. Cheap to clone.
#[derive(Clone)]
pub struct PushWriter {
    queue: mpsc::Sender<Waiting>,
}

type Waiting = (NewPush, oneshot::Sender<Stored>);

impl PushWriter {
    /// Starts the writing task, which ends with the last handle.
    pub fn spawn(database: Database) -> Self {
        let (queue, waiting) = mpsc::channel(MAX_PER_TRANSACTION * 4);
        tokio::spawn(write_all(database, waiting));
        Self { queue }
    }

    /// Returns once the push is on disk.
    ///
    /// # Errors
    /// [`DatabaseError::Unavailable`]: it was not stored. The log has the cause.
    pub async fn store(&self, push: NewPush) -> Result<Stored, DatabaseError> {
        let (respond, response) = oneshot::channel();
        let failed = || DatabaseError::Unavailable(sqlx::Error::PoolClosed);
        let sent = self.queue.send((push, respond)).await;
        sent.map_err(|_| failed())?;
        response.await.map_err(|_| failed())
    }
}

async fn write_all(database: Database, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(MAX_PER_TRANSACTION);
    let mut session = database.session();
    while waiting.recv_many(&mut batch, MAX_PER_TRANSACTION).await > 0 {
        // A waiter that has given up has answered 503, and WeChat repeats the push.
        batch.retain(|(_, waiter)| !waiter.is_closed());
        let (pushes, waiters): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        if pushes.is_empty() {
            continue;
        }
        let written = match database.dialect() {
            Dialect::Postgres => write_together(&mut session, &pushes).await,
            Dialect::Sqlite => write(&database, &pushes).await,
        };
        match written {
            Ok(new) => {
                for (push, waiter) in pushes.into_iter().zip(waiters) {
                    let stored = match new.contains(&push.id) {
                        true => Ok(Stored::New(push.id)),
                        false => conflict(&database, &push).await,
                    };
                    match stored {
                        Ok(stored) => drop(waiter.send(stored)),
                        Err(error) => tracing::error!(%error, "a push was not stored"),
                    }
                }
            }
            // Each waiter notices its closed channel.
            Err(error) => {
                tracing::error!(%error, pushes = pushes.len(), "pushes were not stored");
            }
        }
    }
}

/// Why a push was not inserted.
async fn conflict(database: &Database, push: &NewPush) -> Result<Stored, DatabaseError> {
    if push.query_key.is_none() {
        return Ok(Stored::Duplicate);
    }
    let known = sqlx::query("SELECT id FROM pushes WHERE duplicate_key = $1")
        .bind(&push.duplicate_key)
        .fetch_optional(database.pool())
        .await?;
    Ok(match known {
        Some(_) => Stored::Duplicate,
        None => Stored::Replayed,
    })
}

/// Stores pushes by one statement; returns the ids of the new ones.
async fn write_together(
    session: &mut Session,
    pushes: &[NewPush],
) -> Result<HashSet<PushId>, DatabaseError> {
    let json = serde_json::to_string(pushes).map_err(|error| sqlx::Error::Encode(error.into()))?;
    session
        .run(async |connection| {
            let rows = sqlx::query(include_str!("sql/pushes_insert.sql"))
                .bind(json)
                .bind(Timestamp::now().as_millisecond())
                .fetch_all(connection)
                .await?;
            rows.iter()
                .map(|row| row.try_get("id").map_err(DatabaseError::from))
                .collect()
        })
        .await
}

async fn write(database: &Database, pushes: &[NewPush]) -> Result<HashSet<PushId>, DatabaseError> {
    let now = Timestamp::now().as_millisecond();
    let mut new = HashSet::with_capacity(pushes.len());
    let mut transaction = database.begin_uncontended().await?;
    for push in pushes {
        let inserted = sqlx::query(
            "INSERT INTO pushes (id, duplicate_key, query_key, event, credential, mode, format, body,
                                 received_at, outcome, processed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
        )
        .bind(push.id)
        .bind(&push.duplicate_key)
        .bind(&push.query_key)
        .bind(&push.event)
        .bind(&push.credential)
        .bind(push.mode)
        .bind(push.format)
        .bind(&push.body)
        .bind(now)
        .bind(push.outcome)
        .bind(push.outcome.map(|_| now))
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() > 0 {
            new.insert(push.id);
        }
    }
    transaction.commit().await?;
    Ok(new)
}
