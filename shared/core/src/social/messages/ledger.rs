//! The table `subscriptions`: how many messages a player still accepts, per template.
//!
//! An acceptance in the panel is reported twice, by the client and by WeChat's push, and either report may be
//! missing. Each side is counted by itself, and the greater number counts, so that no acceptance is counted twice.
//! WeChat's refusal of a message (43101) and a rejection in its settings empty the entry; the counts begin anew.

use avalon_wechat::OpenId;
use avalon_wechat::message_push::{SubscriptionChoice, SubscriptionStatus};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Row};
use utoipa::ToSchema;

use super::MessageError;
use crate::base::ids::{PushId, UserId};
use crate::storage::database::Database;

/// What a player answered for a template in the panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// One more message may be sent.
    Accept,
    /// The player declined.
    Reject,
    /// WeChat has banned the template.
    Ban,
    /// WeChat left the template out, since another one has the same title.
    Filter,
}

/// A player's subscription of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// The template, by WeChat's id.
    pub template_id: String,
    /// Number of messages that may still be sent.
    pub left: i64,
}

/// More acceptances than this are not counted: no player answers so many panels in vain.
const MAX_LEFT: i64 = 100;

/// Counts the acceptances that a client reports, and returns the player's subscriptions.
///
/// # Errors
/// [`MessageError::Database`].
pub async fn accepted_by_client(
    database: &Database,
    user: UserId,
    templates: &[String],
    now: Timestamp,
) -> Result<Vec<Subscription>, MessageError> {
    if !templates.is_empty() {
        let mut transaction = database.begin().await?;
        for template in templates {
            add(&mut transaction, user, template, (1, 0), now).await?;
        }
        transaction.commit().await?;
    }
    of_player(database, user).await
}

/// Lists the templates of which a player still accepts messages.
///
/// # Errors
/// [`MessageError::Database`].
pub async fn of_player(
    database: &Database,
    user: UserId,
) -> Result<Vec<Subscription>, MessageError> {
    let rows = sqlx::query(
        "SELECT template_id, CASE WHEN by_client > by_wechat THEN by_client ELSE by_wechat END - used AS remaining
         FROM subscriptions WHERE user_id = $1 ORDER BY template_id",
    )
    .bind(user)
    .fetch_all(database.pool())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Subscription {
                template_id: row.try_get("template_id")?,
                left: row.try_get::<i64, _>("remaining")?.max(0),
            })
        })
        .collect()
}

/// Applies a push about a player's choices, once: acceptances of a panel, or rejections in the settings. Returns
/// whether it was applied now; `false` for an unknown player too.
///
/// # Errors
/// [`MessageError::Database`].
pub async fn apply_push(
    database: &Database,
    push: PushId,
    open_id: &OpenId,
    choices: &[SubscriptionChoice],
    in_settings: bool,
    now: Timestamp,
) -> Result<bool, MessageError> {
    if open_id.as_str().contains('\0') {
        return Ok(false);
    }
    let mut transaction = database.begin().await?;
    let new = sqlx::query(
        "INSERT INTO subscription_pushes (push_id, at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    )
    .bind(push)
    .bind(now.as_millisecond())
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    let user: Option<UserId> = sqlx::query_scalar("SELECT id FROM users WHERE open_id = $1")
        .bind(open_id.as_str())
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(user) = user.filter(|_| new > 0) else {
        return Ok(false);
    };
    let mut choices: Vec<_> = choices.iter().collect();
    // Rows of a player are locked in the order of the templates, as everywhere.
    choices.sort_by(|a, b| a.template_id.cmp(&b.template_id));
    for choice in choices {
        let template = choice.template_id.replace('\0', "\u{fffd}");
        match (&choice.status, in_settings) {
            (SubscriptionStatus::Accepted, false) => {
                add(&mut transaction, user, &template, (0, 1), now).await?;
            }
            (SubscriptionStatus::Rejected, true) => {
                empty(&mut transaction, user, &template, now).await?;
            }
            // The next panel is answered without being shown; a declined panel leaves earlier acceptances.
            (SubscriptionStatus::Accepted, true)
            | (SubscriptionStatus::Rejected, false)
            | (SubscriptionStatus::Other(_), _) => {}
        }
    }
    transaction.commit().await?;
    Ok(true)
}

async fn add(
    connection: &mut AnyConnection,
    user: UserId,
    template: &str,
    (by_client, by_wechat): (i64, i64),
    now: Timestamp,
) -> Result<(), MessageError> {
    sqlx::query(
        "INSERT INTO subscriptions (user_id, template_id, by_client, by_wechat, used, updated_at)
         VALUES ($1, $2, $3, $4, 0, $5)
         ON CONFLICT (user_id, template_id) DO UPDATE SET
             by_client = CASE WHEN subscriptions.by_client - subscriptions.used < $6
                 THEN subscriptions.by_client + excluded.by_client ELSE subscriptions.by_client END,
             by_wechat = CASE WHEN subscriptions.by_wechat - subscriptions.used < $6
                 THEN subscriptions.by_wechat + excluded.by_wechat ELSE subscriptions.by_wechat END,
             updated_at = excluded.updated_at",
    )
    .bind(user)
    .bind(template)
    .bind(by_client)
    .bind(by_wechat)
    .bind(now.as_millisecond())
    .bind(MAX_LEFT)
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends what was accepted.
pub(super) async fn empty(
    connection: &mut AnyConnection,
    user: UserId,
    template: &str,
    now: Timestamp,
) -> Result<(), MessageError> {
    sqlx::query(
        "UPDATE subscriptions SET by_client = 0, by_wechat = 0, used = 0, updated_at = $3
         WHERE user_id = $1 AND template_id = $2",
    )
    .bind(user)
    .bind(template)
    .bind(now.as_millisecond())
    .execute(connection)
    .await?;
    Ok(())
}

/// Uses one acceptance; `false`: none is left.
pub(super) async fn take(
    connection: &mut AnyConnection,
    user: UserId,
    template: &str,
    now: Timestamp,
) -> Result<bool, MessageError> {
    let taken = sqlx::query(
        "UPDATE subscriptions SET used = used + 1, updated_at = $3
         WHERE user_id = $1 AND template_id = $2
               AND CASE WHEN by_client > by_wechat THEN by_client ELSE by_wechat END > used",
    )
    .bind(user)
    .bind(template)
    .bind(now.as_millisecond())
    .execute(connection)
    .await?;
    Ok(taken.rows_affected() > 0)
}

/// Gives an acceptance back that was not used after all.
pub(super) async fn give_back(
    connection: &mut AnyConnection,
    user: UserId,
    template: &str,
    now: Timestamp,
) -> Result<(), MessageError> {
    sqlx::query(
        "UPDATE subscriptions SET used = used - 1, updated_at = $3
         WHERE user_id = $1 AND template_id = $2 AND used > 0",
    )
    .bind(user)
    .bind(template)
    .bind(now.as_millisecond())
    .execute(connection)
    .await?;
    Ok(())
}
