//! The table `erasures`: requests, revocations, and the change from one step to the next.

use jiff::Timestamp;
use sqlx::{AnyConnection, Row};

use super::{Erasure, ErasureCause, ErasureError, Identity, MAX_AGE, Step};
use crate::base::ids::{ErasureId, UserId};
use crate::storage::database::{Database, DatabaseError};
use crate::storage::keyring::Keyring;

/// Requests an erasure that begins at `due`. One that was requested before begins no later than that.
///
/// # Errors
/// [`ErasureError::Database`].
pub async fn request(
    database: &Database,
    user: UserId,
    cause: ErasureCause,
    due: Timestamp,
    now: Timestamp,
) -> Result<Erasure, ErasureError> {
    let row = sqlx::query(
        "INSERT INTO erasures (id, user_id, cause, step, requested_at, due_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (user_id) DO UPDATE SET due_at =
             CASE WHEN erasures.step = 'waiting' AND excluded.due_at < erasures.due_at
                  THEN excluded.due_at ELSE erasures.due_at END
         RETURNING id, user_id, cause, step, requested_at, due_at, started_at, done_at",
    )
    .bind(ErasureId::new())
    .bind(user)
    .bind(cause)
    .bind(Step::Waiting)
    .bind(now.as_millisecond())
    .bind(due.as_millisecond())
    .fetch_one(database.pool())
    .await?;
    Ok(Erasure::read(&row)?)
}

/// Revokes an erasure that has not begun.
///
/// # Errors
/// [`ErasureError::Begun`], [`ErasureError::Unknown`] and [`ErasureError::Database`].
pub async fn revoke(database: &Database, user: UserId) -> Result<(), ErasureError> {
    let revoked =
        sqlx::query("DELETE FROM erasures WHERE user_id = $1 AND coalesce(step, '') = 'waiting'")
            .bind(user)
            .execute(database.pool())
            .await?;
    if revoked.rows_affected() > 0 {
        return Ok(());
    }
    match of_player(database, user).await? {
        Some(_) => Err(ErasureError::Begun),
        None => Err(ErasureError::Unknown),
    }
}

/// Returns the erasure of a player.
///
/// # Errors
/// The database's.
pub async fn of_player(
    database: &Database,
    user: UserId,
) -> Result<Option<Erasure>, DatabaseError> {
    let row = sqlx::query(
        "SELECT id, user_id, cause, step, requested_at, due_at, started_at, done_at
         FROM erasures WHERE user_id = $1",
    )
    .bind(user)
    .fetch_optional(database.pool())
    .await?;
    row.map(|row| Erasure::read(&row)).transpose()
}

/// Returns an erasure; `None` if it was revoked.
///
/// # Errors
/// The database's.
pub async fn by_id(database: &Database, id: ErasureId) -> Result<Option<Erasure>, DatabaseError> {
    let row = sqlx::query(
        "SELECT id, user_id, cause, step, requested_at, due_at, started_at, done_at
         FROM erasures WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(database.pool())
    .await?;
    row.map(|row| Erasure::read(&row)).transpose()
}

/// Lists erasures that were to be continued before `before`, the longest overdue first. Those whose webhook is
/// too old are left to an operator.
///
/// # Errors
/// The database's.
pub async fn due(
    database: &Database,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<Erasure>, DatabaseError> {
    let too_old = before.checked_sub(MAX_AGE).unwrap_or(Timestamp::MIN);
    let rows = sqlx::query(
        "SELECT id, user_id, cause, step, requested_at, due_at, started_at, done_at FROM erasures
         WHERE step <> 'done' AND due_at <= $1 AND (step <> 'notifying' OR done_at > $2)
         ORDER BY due_at LIMIT $3",
    )
    .bind(before.as_millisecond())
    .bind(too_old.as_millisecond())
    .bind(limit)
    .fetch_all(database.pool())
    .await?;
    rows.iter().map(Erasure::read).collect()
}

/// Returns openid and unionid, which are known between the first step and the last.
///
/// # Errors
/// [`ErasureError::Keyring`] when no configured key opens them, and [`ErasureError::Database`].
pub async fn identity(
    database: &Database,
    keyring: &Keyring,
    erasure: &Erasure,
) -> Result<Option<Identity>, ErasureError> {
    let row = sqlx::query(
        "SELECT identity, identity_kid FROM erasures WHERE id = $1 AND identity IS NOT NULL",
    )
    .bind(erasure.id)
    .fetch_optional(database.pool())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (sealed, key): (Vec<u8>, String) = (row.try_get("identity")?, row.try_get("identity_kid")?);
    Identity::open(keyring, erasure.id, &key, &sealed).map(Some)
}

/// Continues with the next step at `due`; `false` if another job has done so.
///
/// # Errors
/// The database's.
pub async fn advance(
    database: &Database,
    erasure: &Erasure,
    to: Step,
    due: Timestamp,
) -> Result<bool, ErasureError> {
    let mut transaction = database.begin().await?;
    let advanced = claim(&mut transaction, erasure, to, due).await?;
    transaction.commit().await?;
    Ok(advanced)
}

/// Changes the step in the transaction of what it does, and locks the row; `false` if another job has done so.
///
/// The state is no search condition: the index of due erasures would be read as a whole.
pub(super) async fn claim(
    connection: &mut AnyConnection,
    erasure: &Erasure,
    to: Step,
    due: Timestamp,
) -> Result<bool, ErasureError> {
    let changed = sqlx::query(
        "UPDATE erasures SET step = $1, due_at = $2 WHERE id = $3 AND coalesce(step, '') = $4",
    )
    .bind(to)
    .bind(due.as_millisecond())
    .bind(erasure.id)
    .bind(erasure.step)
    .execute(connection)
    .await?;
    Ok(changed.rows_affected() > 0)
}
