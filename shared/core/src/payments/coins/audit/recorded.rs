//! What our records say of a player's coins: confirmed changes, and packs that were paid.

use jiff::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::super::PaymentError;
use super::super::super::status::{Channel, OrderStatus};
use super::super::super::virtual_request::{Mode, VirtualRequest};
use super::super::{LedgerSums, sums_of_player};
use super::{SETTLED_AFTER, Sums, millis};
use crate::base::ids::UserId;
use crate::storage::database::Database;

/// A sum as our records have it: a range where WeChat's documents leave open what counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Range {
    least: i64,
    most: i64,
}

/// A player's coins as our records have them, without test coins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    saved: Range,
    presented: Range,
    spent: Range,
    /// Whether something is pending or recent, so that WeChat may rightly know more or less.
    pub in_flux: bool,
}

impl Range {
    fn off(self, reported: i64) -> i64 {
        match reported {
            it if it > self.most => it.saturating_sub(self.most),
            it if it < self.least => it.saturating_sub(self.least),
            _ => 0,
        }
    }
}

impl Recorded {
    /// Returns how far reported sums are off.
    pub(super) fn off(&self, reported: Sums) -> Sums {
        Sums {
            saved: self.saved.off(reported.saved),
            presented: self.presented.off(reported.presented),
            spent: self.spent.off(reported.spent),
        }
    }
}

/// Sums a player's coins.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn recorded(
    database: &Database,
    user: UserId,
    now: Timestamp,
) -> Result<Recorded, PaymentError> {
    let LedgerSums {
        spent,
        returned,
        granted,
        in_flux,
    } = sums_of_player(database, user).await?;
    let packs = Packs::of_player(database, user, now).await?;
    Ok(Recorded {
        saved: Range {
            least: packs.bought - packs.refunded,
            most: packs.bought,
        },
        presented: Range {
            least: granted,
            most: granted + returned,
        },
        spent: Range {
            least: spent - returned,
            most: spent + packs.refunded,
        },
        in_flux: packs.in_flux || in_flux,
    })
}

/// Coins in the packs that a player bought.
#[derive(Default)]
struct Packs {
    bought: i64,
    refunded: i64,
    in_flux: bool,
}

impl Packs {
    async fn of_player(
        database: &Database,
        user: UserId,
        now: Timestamp,
    ) -> Result<Self, PaymentError> {
        let orders = sqlx::query(
            "SELECT status, total_fee, refunded_fee, paid_at, channel_request FROM orders
             WHERE user_id = $1 AND channel = 'virtual_payment'",
        )
        .bind(user)
        .fetch_all(database.pool())
        .await?;
        let mut packs = Self::default();
        for row in &orders {
            packs.add(row, now)?;
        }
        Ok(packs)
    }

    fn add(&mut self, row: &AnyRow, now: Timestamp) -> Result<(), PaymentError> {
        let request: Option<String> = row.try_get("channel_request")?;
        let request = VirtualRequest::of(Channel::VirtualPayment, request.as_deref());
        let Some(request) = request.filter(|it| it.mode == Mode::Coins && !it.is_sandbox()) else {
            return Ok(());
        };
        let status: OrderStatus = row.try_get("status")?;
        let paid_at: Option<i64> = row.try_get("paid_at")?;
        // Coins are credited some time after their payment.
        let credited_by = paid_at.map(|at| at.saturating_add(millis(SETTLED_AFTER)));
        self.in_flux |= status == OrderStatus::Pending
            || credited_by.is_some_and(|by| by > now.as_millisecond());
        if !status.was_paid() {
            return Ok(());
        }
        let (total, refunded): (i64, i64) =
            (row.try_get("total_fee")?, row.try_get("refunded_fee")?);
        self.bought = self.bought.saturating_add(request.buy_quantity);
        // Rounded up: how many coins WeChat takes for a part of the money is not documented.
        let part = request.buy_quantity.saturating_mul(refunded);
        let part = (part + total.max(1) - 1) / total.max(1);
        self.refunded += part.min(request.buy_quantity);
        Ok(())
    }
}
