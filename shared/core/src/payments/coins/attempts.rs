//! The attempts of a change: when a call may be made, and what its answer means for the row.

use std::time::Duration;

use jiff::Timestamp;

use super::super::PaymentError;
use super::{CoinChange, CoinChangeState, by_id, change_of};
use crate::base::ids::UserId;
use crate::storage::database::Database;

/// Time after which a number may not be repeated any more.
const REPEATABLE: Duration = Duration::from_secs(47 * 3600);
/// Longest time between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// What the next attempt may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The call may be made. It is recorded as made.
    Call {
        /// The change.
        change: CoinChange,
        /// Whether no earlier call may have taken effect.
        is_first: bool,
    },
    /// The change has ended; no call is made.
    Ended(CoinChange),
}

/// Records that a call is about to be made, and when the next one is due. A change whose number may not be
/// repeated any more becomes `unsettled`.
///
/// # Errors
/// [`PaymentError::UnknownOrder`] and [`PaymentError::Database`].
pub async fn begin(database: &Database, id: &str, now: Timestamp) -> Result<Begun, PaymentError> {
    let change = by_id(database, id)
        .await?
        .ok_or(PaymentError::UnknownOrder)?;
    if change.state != CoinChangeState::Pending {
        return Ok(Begun::Ended(change));
    }
    let now_ms = now.as_millisecond();
    let limit = now_ms - millis(REPEATABLE);
    let pause = Duration::from_secs(1 << change.tries.clamp(0, 10)).min(MAX_PAUSE);
    let row = sqlx::query(include_str!("../sql/coin_change_begin.sql"))
        .bind(limit)
        .bind(now_ms)
        .bind(now_ms + millis(pause))
        .bind(id)
        .fetch_optional(database.pool())
        .await?;
    let Some(row) = row else {
        // It ended meanwhile.
        let ended = by_id(database, id)
            .await?
            .ok_or(PaymentError::UnknownOrder)?;
        return Ok(Begun::Ended(ended));
    };
    let begun = change_of(&row)?;
    Ok(match begun.state {
        CoinChangeState::Pending => Begun::Call {
            is_first: change.sent_at.is_none()
                && begun.sent_at.map(Timestamp::as_millisecond) == Some(now_ms),
            change: begun,
        },
        _ => Begun::Ended(begun),
    })
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Records that WeChat has certainly not applied the only call that was made: `begun`, which was the first. If
/// another one has begun meanwhile, that one may have been applied, and nothing is changed.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn not_applied(database: &Database, begun: &CoinChange) -> Result<(), PaymentError> {
    sqlx::query(
        "UPDATE coin_changes SET sent_at = NULL
         WHERE id = $1 AND coalesce(state, '') = 'pending' AND tries = $2",
    )
    .bind(&begun.id)
    .bind(begun.tries)
    .execute(database.pool())
    .await?;
    Ok(())
}

/// Records that WeChat has refused a change. Returns whether it was pending.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn refuse(database: &Database, id: &str, now: Timestamp) -> Result<bool, PaymentError> {
    let done = sqlx::query(
        "UPDATE coin_changes SET state = 'refused', ended_at = $1, next_try_at = NULL,
                                 key_version = NULL
         WHERE id = $2 AND state = 'pending'",
    )
    .bind(now.as_millisecond())
    .bind(id)
    .execute(database.pool())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Has a change wait for its player's next sign-in: WeChat refused this version of the session key (0: there was
/// none).
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn await_sign_in(
    database: &Database,
    change: &CoinChange,
    key_version: i64,
) -> Result<(), PaymentError> {
    let mut transaction = database.begin().await?;
    // Changes nothing, but a sign-in at this moment waits for it, and then finds the change waiting.
    let current: Option<i64> = sqlx::query_scalar(
        "UPDATE users SET session_key_version = session_key_version WHERE id = $1
         RETURNING session_key_version",
    )
    .bind(change.user_id)
    .fetch_optional(&mut *transaction)
    .await?;
    // Otherwise its next attempt is due soon.
    if current.is_none_or(|current| current <= key_version) {
        sqlx::query(
            "UPDATE coin_changes SET key_version = $1, next_try_at = NULL
             WHERE id = $2 AND state = 'pending'",
        )
        .bind(key_version)
        .bind(&change.id)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Makes the changes due that waited for this player, who has signed in, and lists them.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn resume(
    database: &Database,
    user: UserId,
    now: Timestamp,
) -> Result<Vec<String>, PaymentError> {
    let waiting: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM coin_changes WHERE user_id = $1 AND key_version IS NOT NULL",
    )
    .bind(user)
    .fetch_all(database.pool())
    .await?;
    for id in &waiting {
        sqlx::query(
            "UPDATE coin_changes SET key_version = NULL, next_try_at = $1
             WHERE id = $2 AND state = 'pending'",
        )
        .bind(now.as_millisecond())
        .bind(id)
        .execute(database.pool())
        .await?;
    }
    Ok(waiting)
}

/// Lists changes whose next attempt is due, the longest overdue first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn due(
    database: &Database,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<String>, PaymentError> {
    Ok(sqlx::query_scalar(
        "SELECT id FROM coin_changes WHERE next_try_at <= $1 ORDER BY next_try_at LIMIT $2",
    )
    .bind(now.as_millisecond())
    .bind(limit)
    .fetch_all(database.pool())
    .await?)
}
