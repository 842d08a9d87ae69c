//! Reads of the changes of coins, and what WeChat last reported of a player's balance.

use avalon_wechat::OpenId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use utoipa::ToSchema;

use super::super::PaymentError;
use super::{CoinChange, change_of};
use crate::base::ids::UserId;
use crate::base::iso_time;
use crate::storage::database::Database;

/// A player's coins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CoinBalance {
    /// Coins that can be spent.
    pub balance: i64,
    /// The part of them that was granted rather than bought.
    pub granted: i64,
    /// When WeChat reported them; ISO 8601, UTC.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "iso_time::serialize")]
    pub as_of: Timestamp,
    /// Whether WeChat cannot be asked before the player signs in again, so that they may have changed since.
    pub stale: bool,
}

/// Stores what WeChat reported; an older report changes nothing.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn store_balance(
    database: &Database,
    user: UserId,
    balance: &CoinBalance,
) -> Result<(), PaymentError> {
    sqlx::query(
        "INSERT INTO coin_balances (user_id, balance, granted, as_of) VALUES ($1, $2, $3, $4)
         ON CONFLICT (user_id) DO UPDATE SET balance = excluded.balance,
             granted = excluded.granted, as_of = excluded.as_of
         WHERE coin_balances.as_of <= excluded.as_of",
    )
    .bind(user)
    .bind(balance.balance)
    .bind(balance.granted)
    .bind(balance.as_of.as_millisecond())
    .execute(database.pool())
    .await?;
    Ok(())
}

/// Reads what WeChat last reported; none: nothing yet.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn balance_of(
    database: &Database,
    user: UserId,
) -> Result<Option<CoinBalance>, PaymentError> {
    let row = sqlx::query("SELECT balance, granted, as_of FROM coin_balances WHERE user_id = $1")
        .bind(user)
        .fetch_optional(database.pool())
        .await?;
    let Some(row) = row else { return Ok(None) };
    let as_of = Timestamp::from_millisecond(row.try_get("as_of")?);
    Ok(Some(CoinBalance {
        balance: row.try_get("balance")?,
        granted: row.try_get("granted")?,
        as_of: as_of.map_err(|_| super::super::damaged("coin_balances.as_of"))?,
        stale: true,
    }))
}

/// Lists the changes of a player's coins, newest first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn of_player(
    database: &Database,
    open_id: &OpenId,
    limit: i64,
) -> Result<Vec<CoinChange>, PaymentError> {
    let rows = sqlx::query(include_str!("../sql/coin_changes_of_player.sql"))
        .bind(open_id.as_str())
        .bind(limit)
        .fetch_all(database.pool())
        .await?;
    rows.iter().map(change_of).collect()
}

/// Changes whose outcome is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// Number of changes.
    pub changes: i64,
    /// When the oldest was created, Unix ms.
    pub oldest: Option<i64>,
}

/// Counts the changes that an operator must decide.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn unsettled(database: &Database) -> Result<Unsettled, PaymentError> {
    let row = sqlx::query(
        "SELECT count(*) AS changes, min(created_at) AS oldest FROM coin_changes
         WHERE state = 'unsettled'",
    )
    .fetch_one(database.pool())
    .await?;
    Ok(Unsettled {
        changes: row.try_get("changes")?,
        oldest: row.try_get("oldest")?,
    })
}

/// Sums of a player's confirmed changes, without test coins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerSums {
    /// Coins spent.
    pub spent: i64,
    /// Coins given back.
    pub returned: i64,
    /// Coins granted.
    pub granted: i64,
    /// Whether a change is pending or unsettled, so that WeChat may know more or less.
    pub in_flux: bool,
}

/// Sums a player's changes.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn sums_of_player(database: &Database, user: UserId) -> Result<LedgerSums, PaymentError> {
    let row = sqlx::query(
        "SELECT CAST(coalesce(sum(CASE WHEN kind = 'spend' AND state = 'done' THEN amount END), 0) AS BIGINT) AS spent,
                CAST(coalesce(sum(CASE WHEN kind = 'return' AND state = 'done' THEN amount END), 0) AS BIGINT) AS returned,
                CAST(coalesce(sum(CASE WHEN kind = 'present' AND state = 'done' THEN amount END), 0) AS BIGINT) AS granted,
                count(CASE WHEN state IN ('pending', 'unsettled') THEN 1 END) AS open_changes
         FROM coin_changes WHERE user_id = $1 AND sandbox = 0",
    )
    .bind(user)
    .fetch_one(database.pool())
    .await?;
    Ok(LedgerSums {
        spent: row.try_get("spent")?,
        returned: row.try_get("returned")?,
        granted: row.try_get("granted")?,
        in_flux: row.try_get::<i64, _>("open_changes")? > 0,
    })
}
