//! The daily comparison of players' coins with WeChat's sums of what was bought, granted and spent.
//!
//! A player is enrolled by the first change or purchase of coins here. WeChat's sums also hold what happened before,
//! or elsewhere: what exceeds our records at the first comparison is the baseline of the player. What falls short of
//! them is a difference at once, since we only record what WeChat confirmed. How returned coins and refunded packs
//! change the sums is not documented, so they make ranges of our sums. A difference counts once two comparisons in
//! succession have found one.

mod findings;
mod recorded;

use std::time::Duration;

use avalon_wechat::OpenId;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::{AnyConnection, Row};

use super::super::PaymentError;
use crate::base::ids::UserId;
use crate::storage::database::Database;

pub use findings::{Difference, accept, differences, differing};
pub use recorded::{Recorded, recorded};

/// Time until a player's coins are first compared, and after which credited coins are no longer late.
const SETTLED_AFTER: Duration = Duration::from_secs(3600);
/// Time between two comparisons of a player.
const EVERY: Duration = Duration::from_secs(24 * 3600);
/// Time after which a first difference is looked at again.
const RECHECK: Duration = Duration::from_secs(1800);

/// WeChat's sums of a player's coins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Coins ever bought.
    pub saved: i64,
    /// Coins ever granted.
    pub presented: i64,
    /// Coins ever spent.
    pub spent: i64,
}

/// What a comparison found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// The sums agree.
    Agrees,
    /// They do not: how far WeChat's are above our records, or below.
    Differs(Sums),
}

/// A player whose coins are to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueAudit {
    /// The player.
    pub user_id: UserId,
    /// WeChat's id of the player.
    pub open_id: OpenId,
}

impl Sums {
    fn map(self, other: Self, with: impl Fn(i64, i64) -> i64) -> Self {
        Self {
            saved: with(self.saved, other.saved),
            presented: with(self.presented, other.presented),
            spent: with(self.spent, other.spent),
        }
    }

    /// The parts that exceed our records.
    fn surplus(self) -> Self {
        self.map(Self::default(), i64::max)
    }

    fn minus(self, other: Self) -> Self {
        self.map(other, i64::saturating_sub)
    }
}

/// Has a player's coins compared from now on; one who is enrolled stays as he is.
pub(super) async fn enrol(
    connection: &mut AnyConnection,
    user: UserId,
    now: Timestamp,
) -> Result<(), PaymentError> {
    sqlx::query(
        "INSERT INTO coin_audits (user_id, due_at) VALUES ($1, $2) ON CONFLICT (user_id) DO NOTHING",
    )
    .bind(user)
    .bind(after(now, SETTLED_AFTER))
    .execute(connection)
    .await?;
    Ok(())
}

/// Has the coins of a player compared who has bought some.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn enrol_buyer(
    database: &Database,
    user: UserId,
    now: Timestamp,
) -> Result<(), PaymentError> {
    let mut transaction = database.begin().await?;
    enrol(&mut transaction, user, now).await?;
    transaction.commit().await?;
    Ok(())
}

/// Lists players whose comparison is due, the longest overdue first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn due(
    database: &Database,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<DueAudit>, PaymentError> {
    let rows = sqlx::query(
        "SELECT coin_audits.user_id AS user_id, users.open_id AS open_id
         FROM coin_audits JOIN users ON users.id = coin_audits.user_id
         WHERE coin_audits.due_at <= $1 ORDER BY coin_audits.due_at LIMIT $2",
    )
    .bind(now.as_millisecond())
    .bind(limit)
    .fetch_all(database.pool())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(DueAudit {
                user_id: row.try_get("user_id")?,
                open_id: OpenId::new(row.try_get::<String, _>("open_id")?),
            })
        })
        .collect()
}

/// Compares what WeChat reports with our records, and stores the result with the time of the next comparison.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn compare(
    database: &Database,
    user: UserId,
    recorded: &Recorded,
    reported: Sums,
    now: Timestamp,
) -> Result<Compared, PaymentError> {
    let mut transaction = database.begin().await?;
    let row = sqlx::query(
        "SELECT saved_before, presented_before, spent_before, differing FROM coin_audits
         WHERE user_id = $1",
    )
    .bind(user)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else {
        return Ok(Compared::Agrees);
    };
    let before = match row.try_get::<Option<i64>, _>("saved_before")? {
        Some(saved) => Sums {
            saved,
            presented: row.try_get("presented_before")?,
            spent: row.try_get("spent_before")?,
        },
        None => recorded.off(reported).surplus(),
    };
    let off = recorded.off(reported.minus(before));
    let agrees = off == Sums::default();
    let earlier: i64 = row.try_get("differing")?;
    let differing = if agrees { 0 } else { earlier + 1 };
    let next = if differing == 1 { RECHECK } else { EVERY };
    sqlx::query(
        "UPDATE coin_audits SET audited_at = $1, due_at = $2, saved_before = $3, presented_before = $4,
                spent_before = $5, saved_off = $6, presented_off = $7, spent_off = $8, differing = $9
         WHERE user_id = $10",
    )
    .bind(now.as_millisecond())
    .bind(after(now, next))
    .bind(before.saved)
    .bind(before.presented)
    .bind(before.spent)
    .bind(off.saved)
    .bind(off.presented)
    .bind(off.spent)
    .bind(differing)
    .bind(user)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(match agrees {
        true => Compared::Agrees,
        false => Compared::Differs(off),
    })
}

/// Has a player's comparison wait until what is pending has ended.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn postpone(
    database: &Database,
    user: UserId,
    now: Timestamp,
) -> Result<(), PaymentError> {
    sqlx::query("UPDATE coin_audits SET due_at = $1 WHERE user_id = $2")
        .bind(after(now, SETTLED_AFTER))
        .bind(user)
        .execute(database.pool())
        .await?;
    Ok(())
}

/// Has a player's comparison wait for the next sign-in: WeChat answers nothing without a live session key.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn await_sign_in(database: &Database, user: UserId) -> Result<(), PaymentError> {
    sqlx::query("UPDATE coin_audits SET due_at = NULL WHERE user_id = $1")
        .bind(user)
        .execute(database.pool())
        .await?;
    Ok(())
}

/// Makes the comparison due that waited for this player, who has signed in; at once, since the key may be
/// replaced soon.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn resume(database: &Database, user: UserId, now: Timestamp) -> Result<(), PaymentError> {
    // The common case: nothing is written for it.
    let waits: Option<i64> = sqlx::query_scalar(
        "SELECT CAST(1 AS BIGINT) FROM coin_audits WHERE user_id = $1 AND coalesce(due_at, -1) = -1",
    )
    .bind(user)
    .fetch_optional(database.pool())
    .await?;
    if waits.is_none() {
        return Ok(());
    }
    sqlx::query("UPDATE coin_audits SET due_at = coalesce(due_at, $1) WHERE user_id = $2")
        .bind(now.as_millisecond())
        .bind(user)
        .execute(database.pool())
        .await?;
    Ok(())
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn after(now: Timestamp, time: Duration) -> i64 {
    now.as_millisecond().saturating_add(millis(time))
}
