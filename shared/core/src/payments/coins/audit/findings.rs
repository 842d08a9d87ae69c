//! Players whose coins differ, for operators.

use avalon_wechat::OpenId;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;

use super::super::super::{PaymentError, damaged};
use super::Sums;
use crate::base::ids::UserId;
use crate::base::iso_time;
use crate::storage::database::Database;

/// A player whose coins differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The player.
    pub user_id: UserId,
    /// WeChat's id of the player.
    pub open_id: OpenId,
    /// How far WeChat's sums are above our records, or below.
    pub off: Sums,
    /// When it was last found; ISO 8601, UTC.
    #[serde(serialize_with = "iso_time::serialize")]
    pub at: Timestamp,
}

/// Counts the players whose coins differ.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn differing(database: &Database) -> Result<i64, PaymentError> {
    Ok(
        sqlx::query_scalar("SELECT count(*) FROM coin_audits WHERE differing >= 2")
            .fetch_one(database.pool())
            .await?,
    )
}

/// Lists players whose coins differ.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn differences(database: &Database, limit: i64) -> Result<Vec<Difference>, PaymentError> {
    let rows = sqlx::query(
        "SELECT coin_audits.user_id AS user_id, users.open_id AS open_id, saved_off, presented_off,
                spent_off, coalesce(audited_at, 0) AS audited_at
         FROM coin_audits JOIN users ON users.id = coin_audits.user_id
         WHERE coin_audits.differing >= 2 ORDER BY coin_audits.user_id LIMIT $1",
    )
    .bind(limit)
    .fetch_all(database.pool())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Difference {
                user_id: row.try_get("user_id")?,
                open_id: OpenId::new(row.try_get::<String, _>("open_id")?),
                off: Sums {
                    saved: row.try_get("saved_off")?,
                    presented: row.try_get("presented_off")?,
                    spent: row.try_get("spent_off")?,
                },
                at: Timestamp::from_millisecond(row.try_get("audited_at")?)
                    .map_err(|_| damaged("coin_audits.audited_at"))?,
            })
        })
        .collect()
}

/// Accepts a player's difference, which an operator has explained: it becomes part of the baseline. Returns the
/// player and what was accepted; none: the player has no difference.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn accept(
    database: &Database,
    open_id: &OpenId,
) -> Result<Option<(UserId, Sums)>, PaymentError> {
    let mut transaction = database.begin().await?;
    let row = sqlx::query(
        "SELECT coin_audits.user_id AS user_id, saved_off, presented_off, spent_off
         FROM coin_audits JOIN users ON users.id = coin_audits.user_id
         WHERE users.open_id = $1 AND coin_audits.differing >= 2",
    )
    .bind(open_id.as_str())
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let user: UserId = row.try_get("user_id")?;
    let accepted = Sums {
        saved: row.try_get("saved_off")?,
        presented: row.try_get("presented_off")?,
        spent: row.try_get("spent_off")?,
    };
    // Only what was shown: a comparison may have found another difference meanwhile.
    let changed = sqlx::query(
        "UPDATE coin_audits SET saved_before = saved_before + $1, presented_before = presented_before + $2,
                spent_before = spent_before + $3, saved_off = 0, presented_off = 0, spent_off = 0,
                differing = 0
         WHERE user_id = $4 AND saved_off = $1 AND presented_off = $2 AND spent_off = $3",
    )
    .bind(accepted.saved)
    .bind(accepted.presented)
    .bind(accepted.spent)
    .bind(user)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok((changed.rows_affected() == 1).then_some((user, accepted)))
}
