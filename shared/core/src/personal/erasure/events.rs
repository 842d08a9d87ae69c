//! Events: their number, names, days and players stay, so that counts do not change.

use jiff::Timestamp;

use super::{Erasure, ErasureError, Step, advance};
use crate::base::ids::UserId;
use crate::storage::database::{Database, DatabaseError};

/// Removes what events say of the player, a day per transaction. Returns `false` if another job has done the step.
///
/// # Errors
/// See [`ErasureError`].
pub async fn erase(
    database: &Database,
    erasure: &Erasure,
    now: Timestamp,
) -> Result<bool, ErasureError> {
    let user = erasure.user_id;
    let days: Vec<i64> = sqlx::query_scalar(
        "SELECT DISTINCT day FROM analytics_events WHERE user_id = $1
         AND (open_id IS NOT NULL OR session_id IS NOT NULL OR country IS NOT NULL OR city IS NOT NULL
              OR CAST(params AS TEXT) <> '{}')",
    )
    .bind(user)
    .fetch_all(database.pool())
    .await?;
    for day in days {
        sqlx::query(
            "UPDATE analytics_events SET params = '{}', open_id = NULL, session_id = NULL, country = NULL,
                                         city = NULL
             WHERE user_id = $1 AND day = $2",
        )
        .bind(user)
        .bind(day)
        .execute(database.pool())
        .await?;
    }
    advance(database, erasure, Step::DeadLetters, now).await
}

/// Removes the places that events have from the player's profile, a day per transaction.
///
/// # Errors
/// The database's.
pub(in crate::personal) async fn remove_places(
    database: &Database,
    user: UserId,
) -> Result<(), DatabaseError> {
    let days: Vec<i64> = sqlx::query_scalar(
        "SELECT DISTINCT day FROM analytics_events
         WHERE user_id = $1 AND (country IS NOT NULL OR city IS NOT NULL)",
    )
    .bind(user)
    .fetch_all(database.pool())
    .await?;
    for day in days {
        sqlx::query(
            "UPDATE analytics_events SET country = NULL, city = NULL WHERE user_id = $1 AND day = $2",
        )
        .bind(user)
        .bind(day)
        .execute(database.pool())
        .await?;
    }
    Ok(())
}
