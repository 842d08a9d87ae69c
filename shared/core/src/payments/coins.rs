//! Changes of players' coins that we request of WeChat: spends, returns of spent coins, presents. WeChat keeps
//! the coins; here is what we asked it to change, each change once under its number (`bill_no`), which is stored
//! before the first call and repeated until WeChat answers clearly.
//!
//! `pending` → `done`, `refused`, or `unsettled`: WeChat forgets a number after 48 hours, and a repeat would then
//! apply it a second time. So nothing is sent later than 47 hours after a call that may have taken effect, and an
//! operator decides.

mod attempts;
pub mod audit;
mod effects;
mod ledger;

use avalon_wechat::OpenId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};

use super::PaymentError;
use super::products::flag;
use crate::base::ids::{OrderId, UserId};
use crate::base::iso_time;
use crate::base::stored_text::stored_as_text;
use crate::storage::database::Database;

pub use attempts::{Begun, await_sign_in, begin, due, not_applied, refuse, resume};
pub use effects::{confirm, decide};
pub use ledger::{
    CoinBalance, LedgerSums, Unsettled, balance_of, of_player, store_balance, sums_of_player,
    unsettled,
};

/// What a change does.
#[derive(
    AsRefStr,
    Clone,
    Copy,
    Debug,
    Display,
    EnumString,
    IntoStaticStr,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CoinChangeKind {
    /// Spends coins for an order (`pay`).
    Spend,
    /// Gives coins of an order back (`cancelpay`).
    Return,
    /// Grants coins (`present`).
    Present,
}

/// The state of a change.
#[derive(
    AsRefStr,
    Clone,
    Copy,
    Debug,
    Display,
    EnumString,
    IntoStaticStr,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CoinChangeState {
    /// WeChat has not answered clearly yet.
    Pending,
    /// WeChat has applied it.
    Done,
    /// WeChat has refused it; nothing was changed.
    Refused,
    /// Unknown, and it may not be repeated: an operator must decide.
    Unsettled,
}

stored_as_text!(CoinChangeKind);
stored_as_text!(CoinChangeState);

/// A change of a player's coins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CoinChange {
    /// The `bill_no`; of a spend the order's id.
    pub id: String,
    /// The player.
    pub user_id: UserId,
    /// WeChat's id of the player.
    pub open_id: OpenId,
    /// What it does.
    pub kind: CoinChangeKind,
    /// The order of a spend or return.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// Number of coins.
    pub amount: i64,
    /// Whether it concerns test coins.
    pub sandbox: bool,
    /// The state.
    pub state: CoinChangeState,
    /// Why, for the books.
    pub reason: String,
    /// ISO 8601, UTC.
    #[serde(serialize_with = "iso_time::serialize")]
    pub created_at: Timestamp,
    /// Since when WeChat may have applied it, ISO 8601, UTC; none: it certainly has not.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "iso_time::serialize_option"
    )]
    pub sent_at: Option<Timestamp>,
    /// Coins of the player after it, as far as WeChat reported them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<i64>,
    /// Whether it waits for its player's next sign-in.
    #[serde(default)]
    pub awaits_sign_in: bool,
    /// Number of attempts.
    pub tries: i64,
}

/// A change to request.
#[derive(Clone, Debug)]
pub struct NewCoinChange {
    /// The `bill_no`.
    pub id: String,
    /// The player.
    pub user_id: UserId,
    /// WeChat's id of the player.
    pub open_id: OpenId,
    /// What it does.
    pub kind: CoinChangeKind,
    /// The order of a spend or return.
    pub order_id: Option<OrderId>,
    /// Number of coins, positive.
    pub amount: i64,
    /// Whether it concerns test coins.
    pub sandbox: bool,
    /// Why, for the books.
    pub reason: String,
}

const BY_ID: &str = include_str!("sql/coin_change_by_id.sql");

/// Reads the columns that `sql/coin_change*.sql` select.
pub(super) fn change_of(row: &AnyRow) -> Result<CoinChange, PaymentError> {
    let time = |ms: i64| {
        Timestamp::from_millisecond(ms).map_err(|_| super::damaged("coin_changes.created_at"))
    };
    Ok(CoinChange {
        id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        open_id: OpenId::new(row.try_get::<String, _>("open_id")?),
        kind: row.try_get("kind")?,
        order_id: row.try_get("order_id")?,
        amount: row.try_get("amount")?,
        sandbox: flag(row, "sandbox")?,
        state: row.try_get("state")?,
        reason: row.try_get("reason")?,
        created_at: time(row.try_get("created_at")?)?,
        sent_at: row
            .try_get::<Option<i64>, _>("sent_at")?
            .map(time)
            .transpose()?,
        balance: row.try_get("balance")?,
        awaits_sign_in: row.try_get::<Option<i64>, _>("key_version")?.is_some(),
        tries: row.try_get("tries")?,
    })
}

/// Stores a change before its first call, or finds the one with the same number.
///
/// # Errors
/// [`PaymentError::KeyReused`] when the number belongs to another change, [`PaymentError::TooMuch`] when a return
/// exceeds what is left of its spend, and [`PaymentError::Database`].
pub async fn record(
    database: &Database,
    new: &NewCoinChange,
    now: Timestamp,
) -> Result<CoinChange, PaymentError> {
    let mut transaction = database.begin().await?;
    if new.kind == CoinChangeKind::Return {
        effects::lock_spend(&mut transaction, new).await?;
    }
    let inserted = sqlx::query(
        "INSERT INTO coin_changes (id, user_id, open_id, kind, order_id, amount, sandbox, state,
                                   reason, created_at, next_try_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, $9, $9) ON CONFLICT (id) DO NOTHING",
    )
    .bind(&new.id)
    .bind(new.user_id)
    .bind(new.open_id.as_str())
    .bind(new.kind)
    .bind(new.order_id.map(|id| id.to_string()))
    .bind(new.amount)
    .bind(i16::from(new.sandbox))
    .bind(&new.reason)
    .bind(now.as_millisecond())
    .execute(&mut *transaction)
    .await?;
    let row = sqlx::query(BY_ID)
        .bind(&new.id)
        .fetch_one(&mut *transaction)
        .await?;
    let change = change_of(&row)?;
    let same = (change.user_id, change.kind, change.order_id, change.amount)
        == (new.user_id, new.kind, new.order_id, new.amount);
    if !same {
        return Err(PaymentError::KeyReused);
    }
    if inserted.rows_affected() == 1 {
        if !new.sandbox {
            audit::enrol(&mut transaction, new.user_id, now).await?;
        }
        transaction.commit().await?;
    }
    Ok(change)
}

/// Reads a change.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn by_id(database: &Database, id: &str) -> Result<Option<CoinChange>, PaymentError> {
    let row = sqlx::query(BY_ID)
        .bind(id)
        .fetch_optional(database.pool())
        .await?;
    row.map(|row| change_of(&row)).transpose()
}

#[cfg(test)]
mod tests {
    #[test]
    fn statements_read_the_same_columns() {
        let columns = |statement: &str| {
            let (_, columns) = statement.split_once("id, user_id").unwrap();
            let (columns, _) = columns.split_once("tries").unwrap();
            columns.to_owned()
        };
        let expected = columns(super::BY_ID);
        for statement in [
            include_str!("sql/coin_change_begin.sql"),
            include_str!("sql/coin_changes_of_player.sql"),
        ] {
            assert_eq!(columns(statement), expected);
        }
    }
}
