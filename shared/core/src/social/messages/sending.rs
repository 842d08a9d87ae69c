//! The transitions of a message that is sent. `claim` marks it before WeChat is called; whatever happens then, a
//! message is called for again only if WeChat is known not to have sent it.

use jiff::Timestamp;
use sqlx::{AnyConnection, Row};

use super::{Message, MessageError, MessageStatus, ledger, rows};
use crate::base::ids::MessageId;
use crate::storage::database::Database;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// What claiming a message came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is marked as sending: call WeChat now.
    Send(Message),
    /// Another message of the player is being sent.
    Busy,
    /// It is not to be sent, or not any more.
    Not(MessageStatus),
}

/// Marks a queued message as sending and uses an acceptance of the player, unless none is left or the player has
/// received `per_day` messages within 24 hours.
///
/// # Errors
/// [`MessageError::Database`].
pub async fn claim(
    database: &Database,
    id: MessageId,
    per_day: u32,
    now: Timestamp,
) -> Result<Claim, MessageError> {
    let at = now.as_millisecond();
    let mut transaction = database.begin().await?;
    // A unique index admits one message per player; a concurrent claim waits for this one, and then fails.
    let marked = sqlx::query(
        "UPDATE messages SET status = 'sending', sending_at = $2
         WHERE id = $1 AND coalesce(status, '') = 'queued'
         RETURNING id, user_id, template_id, data, page, status, created_at, due_at, error_code, error_field",
    )
    .bind(id)
    .bind(at)
    .fetch_optional(&mut *transaction)
    .await;
    let message = match marked {
        Ok(Some(row)) => rows::message_of(&row)?,
        Ok(None) => {
            drop(transaction);
            let found = rows::by_id(database, id).await?;
            return Ok(Claim::Not(
                found.map_or(MessageStatus::Expired, |it| it.status),
            ));
        }
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => return Ok(Claim::Busy),
        Err(error) => return Err(error.into()),
    };
    let recent: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM messages WHERE user_id = $1 AND sending_at > $2 AND id <> $3",
    )
    .bind(message.user)
    .bind(at - DAY_MS)
    .bind(id)
    .fetch_one(&mut *transaction)
    .await?;
    let status = if recent >= i64::from(per_day) {
        MessageStatus::Capped
    } else if ledger::take(&mut transaction, message.user, &message.template_id, now).await? {
        transaction.commit().await?;
        return Ok(Claim::Send(message));
    } else {
        MessageStatus::Unsubscribed
    };
    end(&mut transaction, id, status, true).await?;
    transaction.commit().await?;
    Ok(Claim::Not(status))
}

/// Moves a message that is sending to a state; `unsent` removes it from the counts of the day. Returns whether it
/// was sending.
async fn end(
    connection: &mut AnyConnection,
    id: MessageId,
    status: MessageStatus,
    unsent: bool,
) -> Result<bool, MessageError> {
    let done = sqlx::query(
        "UPDATE messages SET status = $2, sending_at = CASE WHEN $3 = 1 THEN NULL ELSE sending_at END
         WHERE id = $1 AND coalesce(status, '') = 'sending'",
    )
    .bind(id)
    .bind(status)
    .bind(i64::from(unsent))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Records that WeChat accepted a message. One that was given up as lost meanwhile counts as sent too.
///
/// # Errors
/// [`MessageError::Database`].
pub async fn sent(
    database: &Database,
    id: MessageId,
    wechat_id: Option<&str>,
) -> Result<(), MessageError> {
    sqlx::query(
        "UPDATE messages SET status = 'sent', wechat_id = $2
         WHERE id = $1 AND coalesce(status, '') IN ('sending', 'lost')",
    )
    .bind(id)
    .bind(wechat_id)
    .execute(database.pool())
    .await?;
    Ok(())
}

/// Records that WeChat's answer was lost: the message is not sent again.
///
/// # Errors
/// [`MessageError::Database`].
pub async fn abandon(database: &Database, id: MessageId) -> Result<bool, MessageError> {
    let mut connection = database.pool().acquire().await?;
    end(&mut connection, id, MessageStatus::Lost, false).await
}

/// Queues a message again that WeChat has certainly not sent, until `due_at`; the acceptance is given back.
///
/// # Errors
/// [`MessageError::Database`].
pub async fn not_sent(
    database: &Database,
    message: &Message,
    due_at: Timestamp,
    now: Timestamp,
) -> Result<(), MessageError> {
    let mut transaction = database.begin().await?;
    if end(&mut transaction, message.id, MessageStatus::Queued, true).await? {
        sqlx::query("UPDATE messages SET due_at = $2 WHERE id = $1")
            .bind(message.id)
            .bind(due_at.as_millisecond())
            .execute(&mut *transaction)
            .await?;
        let (user, template) = (message.user, &message.template_id);
        ledger::give_back(&mut transaction, user, template, now).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Records that WeChat refused a message: with `error`, since its content is invalid; without, since the player
/// accepts none, which empties the ledger.
///
/// # Errors
/// [`MessageError::Database`].
pub async fn refused(
    database: &Database,
    message: &Message,
    error: Option<(i64, Option<&str>)>,
    now: Timestamp,
) -> Result<(), MessageError> {
    let (user, template) = (message.user, &message.template_id);
    let mut transaction = database.begin().await?;
    let status = match error {
        Some(_) => MessageStatus::Failed,
        None => MessageStatus::Unsubscribed,
    };
    if end(&mut transaction, message.id, status, true).await? {
        match error {
            Some((code, field)) => {
                sqlx::query("UPDATE messages SET error_code = $2, error_field = $3 WHERE id = $1")
                    .bind(message.id)
                    .bind(code)
                    .bind(field)
                    .execute(&mut *transaction)
                    .await?;
                ledger::give_back(&mut transaction, user, template, now).await?;
            }
            None => ledger::empty(&mut transaction, user, template, now).await?,
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// Gives up messages whose sender has vanished: marked before `before` and still sending. Returns their number.
///
/// # Errors
/// [`MessageError::Database`].
pub async fn lose_stuck(database: &Database, before: Timestamp) -> Result<u64, MessageError> {
    let done = sqlx::query(
        "UPDATE messages SET status = 'lost' WHERE status = 'sending' AND sending_at < $1",
    )
    .bind(before.as_millisecond())
    .execute(database.pool())
    .await?;
    Ok(done.rows_affected())
}

/// Applies WeChat's report of a message that it delivered: one whose answer was lost was sent after all. Returns
/// whether it was known.
///
/// # Errors
/// [`MessageError::Database`].
pub async fn delivered(
    database: &Database,
    open_id: &str,
    template_id: &str,
    wechat_id: &str,
) -> Result<bool, MessageError> {
    let clean = |text: &str| !text.contains('\0');
    if ![open_id, template_id, wechat_id].into_iter().all(clean) {
        return Ok(false);
    }
    let mut transaction = database.begin().await?;
    let known = sqlx::query("SELECT id FROM messages WHERE wechat_id = $1")
        .bind(wechat_id)
        .fetch_optional(&mut *transaction)
        .await?;
    if known.is_some() {
        return Ok(true);
    }
    let lost = sqlx::query(
        "SELECT m.id FROM users u JOIN messages m ON m.user_id = u.id
         WHERE u.open_id = $1 AND m.sending_at IS NOT NULL AND m.template_id = $2 AND m.status = 'lost'
         ORDER BY m.sending_at LIMIT 1",
    )
    .bind(open_id)
    .bind(template_id)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(lost) = lost else { return Ok(false) };
    let id: MessageId = lost.try_get("id")?;
    sqlx::query("UPDATE messages SET status = 'sent', wechat_id = $2 WHERE id = $1")
        .bind(id)
        .bind(wechat_id)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(true)
}
