//! Messages that WeChat pushed. They are the proof of what WeChat reported, so only the ids in them are replaced.
//! One that is processed again afterwards no longer verifies, or names a player who does not exist.

use jiff::Timestamp;
use sqlx::Row;

use super::rows::claim;
use super::{Erasure, ErasureError, Identity, Step};
use crate::base::ids::PushId;
use crate::storage::database::{Database, DatabaseError};

/// Messages per transaction.
const PAGE: i64 = 100;

/// Replaces the player's ids in all messages, a page per transaction. Returns `false` if another job has done the
/// step.
///
/// # Errors
/// See [`ErasureError`].
pub async fn erase(
    database: &Database,
    erasure: &Erasure,
    identity: &Identity,
    now: Timestamp,
) -> Result<bool, ErasureError> {
    loop {
        let mut transaction = database.begin().await?;
        let rows =
            sqlx::query("SELECT id, body FROM pushes WHERE open_id = $1 ORDER BY id LIMIT $2")
                .bind(&identity.open_id)
                .bind(PAGE)
                .fetch_all(&mut *transaction)
                .await?;
        if rows.is_empty() {
            let claimed = claim(&mut transaction, erasure, Step::Events, now).await?;
            transaction.commit().await?;
            return Ok(claimed);
        }
        for row in rows {
            let (id, body): (PushId, Vec<u8>) = (row.try_get("id")?, row.try_get("body")?);
            let body = String::from_utf8(body)
                .map_err(|_| DatabaseError::Damaged("pushes.body".to_owned()))?;
            sqlx::query("UPDATE pushes SET open_id = $1, body = $2 WHERE id = $3")
                .bind(erasure.pseudonym())
                .bind(identity.redact(&body, &erasure.pseudonym()).into_bytes())
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
    }
}
