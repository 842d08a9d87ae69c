//! The end of an erasure, and its report to the game server.

use jiff::Timestamp;
use serde_json::json;

use super::rows::claim;
use super::{Erasure, ErasureError, Identity, NOTIFY_AGAIN_AFTER, Step};
use crate::analytics::outbox::{self, ServiceEvent};
use crate::base::ids::ErasureId;
use crate::base::iso_time::IsoTime;
use crate::payments::fulfilments::Webhooks;
use crate::social::boards;
use crate::storage::database::{Database, DatabaseError};

/// Name of the service's event, by which sinks learn of an erasure.
const ERASED: &str = "player_erased";

/// Removes what the audit log, invitations and messages have of the player, and records the end of the erasure: with the webhook to the game
/// server, for which the identity is stored until it is delivered, and with an event for the sinks.
///
/// # Errors
/// The database's.
pub async fn complete(
    database: &Database,
    erasure: &Erasure,
    webhooks: Webhooks,
    now: Timestamp,
) -> Result<bool, ErasureError> {
    let next = match webhooks {
        Webhooks::Stored => Step::Notifying,
        Webhooks::Off => Step::Done,
    };
    let mut transaction = database.begin().await?;
    if !claim(&mut transaction, erasure, next, now).await? {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE erasures SET done_at = $1,
             identity = CASE WHEN step = 'done' THEN NULL ELSE identity END,
             identity_kid = CASE WHEN step = 'done' THEN NULL ELSE identity_kid END
         WHERE id = $2",
    )
    .bind(now.as_millisecond())
    .bind(erasure.id)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "UPDATE audit_events SET
             address = CASE WHEN actor = 'player' THEN NULL ELSE address END,
             detail = CASE WHEN kind IN ('nickname_refused', 'user_banned') THEN '{}' ELSE detail END
         WHERE user_id = $1",
    )
    .bind(erasure.user_id)
    .execute(&mut *transaction)
    .await?;
    // Once more: a score that was on its way when the erasure began has been stored since.
    boards::erase(&mut transaction, erasure.user_id, now).await?;
    // That the player was invited, opened a share and was rewarded stays: it names no one.
    sqlx::query("UPDATE invites SET client_ip = NULL, device = NULL WHERE user_id = $1")
        .bind(erasure.user_id)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("UPDATE share_events SET group_id = NULL WHERE user_id = $1")
        .bind(erasure.user_id)
        .execute(&mut *transaction)
        .await?;
    for sql in [
        "DELETE FROM messages WHERE user_id = $1",
        "DELETE FROM subscriptions WHERE user_id = $1",
        "DELETE FROM hosted_scores WHERE user_id = $1",
        "DELETE FROM hosted_players WHERE user_id = $1",
    ] {
        sqlx::query(sql)
            .bind(erasure.user_id)
            .execute(&mut *transaction)
            .await?;
    }
    let event = ServiceEvent {
        id: format!("{ERASED}:{}", erasure.id),
        user_id: erasure.user_id.to_string(),
        open_id: &erasure.pseudonym(),
        name: ERASED,
        params: json!({}),
    };
    outbox::insert(&mut transaction, &event, now).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Returns the body of the webhook of an erasure that is not delivered yet.
pub fn webhook_body(erasure: &Erasure, identity: &Identity) -> String {
    let at = erasure.done_at.and_then(IsoTime::from_millisecond);
    let mut player = json!({"_id": erasure.user_id, "openId": identity.open_id});
    if let Some(union_id) = &identity.union_id {
        player["unionId"] = union_id.as_str().into();
    }
    json!({"type": "player.erased", "timestamp": at, "data": player}).to_string()
}

/// Schedules the next look at a webhook that was enqueued.
///
/// # Errors
/// The database's.
pub async fn notifying(
    database: &Database,
    id: ErasureId,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let again = now.checked_add(NOTIFY_AGAIN_AFTER).unwrap_or(now);
    sqlx::query(
        "UPDATE erasures SET due_at = $1 WHERE id = $2 AND coalesce(step, '') = 'notifying'",
    )
    .bind(again.as_millisecond())
    .bind(id)
    .execute(database.pool())
    .await?;
    Ok(())
}

/// Records that the game server has accepted the webhook, and forgets openid and unionid.
///
/// # Errors
/// The database's.
pub async fn notified(
    database: &Database,
    id: ErasureId,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    sqlx::query(
        "UPDATE erasures SET step = 'done', notified_at = $1, identity = NULL, identity_kid = NULL
         WHERE id = $2 AND coalesce(step, '') = 'notifying'",
    )
    .bind(now.as_millisecond())
    .bind(id)
    .execute(database.pool())
    .await?;
    Ok(())
}
