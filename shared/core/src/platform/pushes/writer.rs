//! Stores pushes on receipt. One task writes all waiting pushes in one transaction (group commit). Repeated
//! deliveries are recognised by unique keys, so it does not matter which process receives them.

use std::collections::HashSet;

use avalon_queue::{BatchWorker, Batches, Pace};
use avalon_wechat::message_push::{Push, PushFormat, PushMode};
use avalon_wechat::virtual_payment::AppKeys;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::{AnyConnection, Row};

use super::Outcome;
use crate::base::base64_bytes;
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
    open_id: Option<String>,
    credential: String,
    mode: &'static str,
    format: &'static str,
    #[serde(serialize_with = "base64_bytes::serialize")]
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
            open_id: push.player().map(|player| storable(player.as_str())),
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

/// Stores pushes. Cheap to clone.
#[derive(Clone)]
pub struct PushWriter(Batches<NewPush, Result<Stored, DatabaseError>>);

impl PushWriter {
    /// Starts the writing task, which ends with the last handle.
    pub fn spawn(database: Database) -> Self {
        let session = database.session();
        Self(Batches::spawn(
            MAX_PER_TRANSACTION,
            Pace::Immediate,
            [Writer { database, session }],
        ))
    }

    /// Returns once the push is on disk.
    ///
    /// # Errors
    /// [`DatabaseError`]: it was not stored. The log has the cause.
    pub async fn store(&self, push: NewPush) -> Result<Stored, DatabaseError> {
        let failed = |_| DatabaseError::Unavailable(sqlx::Error::PoolClosed);
        self.0.execute(push).await.map_err(failed)?
    }
}

/// Makes a gift pending whose player had not signed in at an earlier delivery: it counts as new. Any other
/// duplicate stays one.
///
/// # Errors
/// When the database fails.
pub async fn accept_registered(
    database: &Database,
    push: &NewPush,
    now: Timestamp,
) -> Result<Stored, DatabaseError> {
    let id = sqlx::query_scalar(
        "UPDATE pushes SET outcome = NULL, processed_at = NULL, replayed_at = $2
         WHERE duplicate_key = $1 AND coalesce(outcome, '') = 'not_registered' RETURNING id",
    )
    .bind(&push.duplicate_key)
    .bind(now.as_millisecond())
    .fetch_optional(database.pool())
    .await?;
    Ok(id.map_or(Stored::Duplicate, Stored::New))
}

struct Writer {
    database: Database,
    session: Session,
}

impl BatchWorker for Writer {
    type Request = NewPush;
    type Response = Result<Stored, DatabaseError>;

    /// None is stored by itself after a failure: its caller answers 503, and WeChat repeats the push.
    async fn execute(&mut self, pushes: Vec<NewPush>) -> Option<Vec<Self::Response>> {
        let written = match self.database.dialect() {
            Dialect::Postgres => write_together(&mut self.session, &pushes).await,
            Dialect::Sqlite => write(&self.database, &pushes).await,
        };
        let new = written
            .inspect_err(|error| {
                tracing::error!(%error, pushes = pushes.len(), "pushes were not stored");
            })
            .ok()?;
        let mut results = Vec::with_capacity(pushes.len());
        for push in pushes {
            let stored = match new.contains(&push.id) {
                true => Ok(Stored::New(push.id)),
                false => conflict(&self.database, &push).await,
            };
            results
                .push(stored.inspect_err(|error| tracing::error!(%error, "a push was not stored")));
        }
        Some(results)
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

/// Stores pushes by one statement, once more on a new connection when the first one was lost: after a restart of
/// the server, WeChat should not have to repeat them. Returns the ids of the new ones.
async fn write_together(
    session: &mut Session,
    pushes: &[NewPush],
) -> Result<HashSet<PushId>, DatabaseError> {
    let json = serde_json::to_string(pushes).map_err(|error| sqlx::Error::Encode(error.into()))?;
    match session.run(async |it| insert(it, &json).await).await {
        Err(error) if error.is_transient() => session.run(async |it| insert(it, &json).await).await,
        done => done,
    }
}

async fn insert(
    connection: &mut AnyConnection,
    json: &str,
) -> Result<HashSet<PushId>, DatabaseError> {
    let rows = sqlx::query(include_str!("sql/pushes_insert.sql"))
        .bind(json)
        .bind(Timestamp::now().as_millisecond())
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| row.try_get("id").map_err(DatabaseError::from))
        .collect()
}

async fn write(database: &Database, pushes: &[NewPush]) -> Result<HashSet<PushId>, DatabaseError> {
    let now = Timestamp::now().as_millisecond();
    let mut new = HashSet::with_capacity(pushes.len());
    let mut transaction = database.begin_uncontended().await?;
    for push in pushes {
        let inserted = sqlx::query(
            "INSERT INTO pushes (id, duplicate_key, query_key, event, credential, mode, format, body,
                                 received_at, outcome, processed_at, open_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING",
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
        .bind(&push.open_id)
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() > 0 {
            new.insert(push.id);
        }
    }
    transaction.commit().await?;
    Ok(new)
}
