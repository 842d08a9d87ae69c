//! The first step: the player's row.

use jiff::Timestamp;
use sqlx::Row;

use super::rows::claim;
use super::{Erasure, ErasureError, Identity, Step};
use crate::social::boards;
use crate::storage::database::Database;
use crate::storage::keyring::Keyring;

/// Begins an erasure that is due: the row of the player gets a pseudonym and loses all else. From here on a sign-in
/// creates another player. Returns `false` if another job has begun it, or it was revoked.
///
/// # Errors
/// See [`ErasureError`].
pub async fn begin(
    database: &Database,
    keyring: &Keyring,
    erasure: &Erasure,
    now: Timestamp,
) -> Result<bool, ErasureError> {
    let mut transaction = database.begin().await?;
    if !claim(&mut transaction, erasure, Step::Sessions, now).await? {
        return Ok(false);
    }
    // Changes nothing, but locks the row in both dialects.
    let row = sqlx::query(
        "UPDATE users SET updated_at = updated_at WHERE id = $1 RETURNING open_id, union_id",
    )
    .bind(erasure.user_id)
    .fetch_optional(&mut *transaction)
    .await?;
    let row = row.ok_or(ErasureError::Unknown)?;
    let identity = Identity {
        open_id: row.try_get("open_id")?,
        union_id: row.try_get("union_id")?,
    };
    let sealed = identity.seal(keyring, erasure.id)?;
    sqlx::query(
        "UPDATE erasures SET started_at = $1, identity = $2, identity_kid = $3 WHERE id = $4",
    )
    .bind(now.as_millisecond())
    .bind(sealed.ciphertext)
    .bind(sealed.key_id)
    .bind(erasure.id)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(include_str!("../sql/user_erase.sql"))
        .bind(erasure.user_id)
        .bind(erasure.pseudonym())
        .bind(now.as_millisecond())
        .execute(&mut *transaction)
        .await?;
    boards::erase(&mut transaction, erasure.user_id, now).await?;
    // The table of the first version, which nothing reads.
    sqlx::query("DELETE FROM sessions WHERE user_id = $1")
        .bind(erasure.user_id)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(true)
}
