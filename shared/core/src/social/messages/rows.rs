//! The table `messages`: creating, reading, and what the sweeper looks for.

use std::collections::BTreeMap;

use avalon_wechat::OpenId;
use jiff::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{MessageError, MessageStatus};
use crate::base::ids::{MessageId, UserId};
use crate::storage::database::{Database, DatabaseError};

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The player.
    pub user: UserId,
    /// The template, by WeChat's id.
    pub template_id: String,
    /// Its fields, checked and cut.
    pub data: BTreeMap<String, String>,
    /// The query with which a tap on the message opens the game.
    pub page: Option<String>,
    /// The caller's name of the request.
    pub idempotency_key: String,
    /// Of the request as the caller wrote it.
    pub request_digest: String,
    /// When it may be sent.
    pub due_at: Timestamp,
}

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// The player.
    pub user: UserId,
    /// The template, by WeChat's id.
    pub template_id: String,
    /// Its fields.
    pub data: BTreeMap<String, String>,
    /// The query with which a tap opens the game.
    pub page: Option<String>,
    /// Its state.
    pub status: MessageStatus,
    /// Unix ms.
    pub created_at: i64,
    /// When it may be sent, Unix ms.
    pub due_at: i64,
    /// WeChat's reason for rejecting it.
    pub error_code: Option<i64>,
    /// The field that WeChat rejects, if it named one.
    pub error_field: Option<String>,
}

/// The player to whom a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// By our id.
    User(UserId),
    /// By WeChat's id.
    OpenId(OpenId),
}

/// Finds the player to whom a message goes.
///
/// # Errors
/// [`MessageError::UnknownPlayer`] and [`MessageError::Database`].
pub async fn recipient(database: &Database, recipient: &Recipient) -> Result<UserId, MessageError> {
    let (sql, id) = match recipient {
        Recipient::User(id) => ("SELECT id FROM users WHERE id = $1", id.to_string()),
        Recipient::OpenId(id) => (
            "SELECT id FROM users WHERE open_id = $1",
            id.as_str().to_owned(),
        ),
    };
    // No player's; Postgres cannot compare it.
    if id.contains('\0') {
        return Err(MessageError::UnknownPlayer);
    }
    let found = sqlx::query_scalar(sql)
        .bind(id)
        .fetch_optional(database.pool())
        .await?;
    found.ok_or(MessageError::UnknownPlayer)
}

/// Stores a message; the same key with the same request returns the stored one.
///
/// # Errors
/// [`MessageError::KeyReused`] and [`MessageError::Database`].
pub async fn create(
    database: &Database,
    new: &NewMessage,
    now: Timestamp,
) -> Result<MessageId, MessageError> {
    let id = MessageId::new();
    let data = serde_json::json!(new.data).to_string();
    let inserted = sqlx::query(
        "INSERT INTO messages (id, user_id, template_id, data, page, idempotency_key, request_digest,
                               status, created_at, due_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (idempotency_key) DO NOTHING",
    )
    .bind(id)
    .bind(new.user)
    .bind(&new.template_id)
    .bind(data)
    .bind(&new.page)
    .bind(&new.idempotency_key)
    .bind(&new.request_digest)
    .bind(MessageStatus::Queued)
    .bind(now.as_millisecond())
    .bind(new.due_at.as_millisecond())
    .execute(database.pool())
    .await?;
    if inserted.rows_affected() > 0 {
        return Ok(id);
    }
    let row = sqlx::query("SELECT id, request_digest FROM messages WHERE idempotency_key = $1")
        .bind(&new.idempotency_key)
        .fetch_one(database.pool())
        .await?;
    match row.try_get::<String, _>("request_digest")? == new.request_digest {
        true => Ok(row.try_get("id")?),
        false => Err(MessageError::KeyReused),
    }
}

/// Reads a message.
///
/// # Errors
/// [`MessageError::Database`].
pub async fn by_id(database: &Database, id: MessageId) -> Result<Option<Message>, MessageError> {
    sqlx::query(
        "SELECT id, user_id, template_id, data, page, status, created_at, due_at, error_code, error_field
         FROM messages WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(database.pool())
    .await?
    .map(|row| message_of(&row))
    .transpose()
}

pub(super) fn message_of(row: &AnyRow) -> Result<Message, MessageError> {
    let data: String = row.try_get("data")?;
    let data = serde_json::from_str(&data);
    Ok(Message {
        id: row.try_get("id")?,
        user: row.try_get("user_id")?,
        template_id: row.try_get("template_id")?,
        data: data.map_err(|_| DatabaseError::Damaged("messages.data".to_owned()))?,
        page: row.try_get("page")?,
        status: row.try_get("status")?,
        created_at: row.try_get("created_at")?,
        due_at: row.try_get("due_at")?,
        error_code: row.try_get("error_code")?,
        error_field: row.try_get("error_field")?,
    })
}

/// Lists queued messages that were due before `before`, oldest first.
///
/// # Errors
/// [`MessageError::Database`].
pub async fn due(
    database: &Database,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<MessageId>, MessageError> {
    Ok(sqlx::query_scalar(
        "SELECT id FROM messages WHERE status = 'queued' AND due_at <= $1 ORDER BY due_at LIMIT $2",
    )
    .bind(before.as_millisecond())
    .bind(limit)
    .fetch_all(database.pool())
    .await?)
}

/// Gives up a queued message; returns whether it was queued.
///
/// # Errors
/// [`MessageError::Database`].
pub async fn expire(database: &Database, id: MessageId) -> Result<bool, MessageError> {
    let done = sqlx::query(
        "UPDATE messages SET status = 'expired' WHERE id = $1 AND coalesce(status, '') = 'queued'",
    )
    .bind(id)
    .execute(database.pool())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Lists failed messages since `after` of which the game server was not notified, oldest first.
///
/// # Errors
/// [`MessageError::Database`].
pub async fn unreported(
    database: &Database,
    after: Timestamp,
    limit: i64,
) -> Result<Vec<MessageId>, MessageError> {
    Ok(sqlx::query_scalar(
        "SELECT id FROM messages WHERE status = 'failed' AND reported_at IS NULL AND created_at > $1
         ORDER BY created_at LIMIT $2",
    )
    .bind(after.as_millisecond())
    .bind(limit)
    .fetch_all(database.pool())
    .await?)
}

/// Records that the game server was notified of a failed message.
///
/// # Errors
/// [`MessageError::Database`].
pub async fn reported(
    database: &Database,
    id: MessageId,
    now: Timestamp,
) -> Result<(), MessageError> {
    sqlx::query("UPDATE messages SET reported_at = $2 WHERE id = $1")
        .bind(id)
        .bind(now.as_millisecond())
        .execute(database.pool())
        .await?;
    Ok(())
}

/// Deletes up to `limit` messages, and as many records of applied pushes, older than `before`; returns their number.
///
/// # Errors
/// [`MessageError::Database`].
pub async fn delete_old(
    database: &Database,
    before: Timestamp,
    limit: i64,
) -> Result<u64, MessageError> {
    let mut deleted = 0;
    for sql in [
        "DELETE FROM messages WHERE id IN
             (SELECT id FROM messages WHERE created_at < $1 ORDER BY created_at LIMIT $2)",
        "DELETE FROM subscription_pushes WHERE push_id IN
             (SELECT push_id FROM subscription_pushes WHERE at < $1 ORDER BY at LIMIT $2)",
    ] {
        let done = sqlx::query(sql)
            .bind(before.as_millisecond())
            .bind(limit)
            .execute(database.pool())
            .await?;
        deleted += done.rows_affected();
    }
    Ok(deleted)
}
