//! Bounds on unpaid orders: what one player may hold without paying, and for how long. Each order of a player
//! is created under a lock of that player, so that concurrent requests cannot exceed a bound together.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::{AnyConnection, Row};

use super::super::PaymentError;
use super::super::products::Product;
use crate::base::ids::{ProductId, UserId};
use crate::storage::config::Dialect;

/// Bounds on unpaid orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldRules {
    /// Time until an unpaid order is closed.
    pub ttl: Duration,
    /// The same while the product's stock is scarce, if shorter.
    pub scarce_ttl: Duration,
    /// Stock is scarce when fewer pieces are left.
    pub scarce_stock: i64,
    /// Maximum number of pending orders per player.
    pub max_pending_orders: i64,
    /// Maximum share of a product's available stock that one player may hold unpaid, in percent. One piece
    /// is always allowed.
    pub max_pending_stock_percent: i64,
}

/// What a player holds unpaid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// Number of pending orders, of all products.
    pub(super) orders: i64,
    /// Number of pieces of the product in them.
    pub(super) pieces: i64,
}

impl HoldRules {
    /// Checks that `quantity` more pieces in one more order stay within the bounds.
    pub(super) fn admit(
        &self,
        held: Held,
        product: &Product,
        quantity: i64,
    ) -> Result<(), PaymentError> {
        if held.orders >= self.max_pending_orders {
            return Err(PaymentError::TooManyPending(self.max_pending_orders));
        }
        let Some(stock) = product.stock else {
            return Ok(());
        };
        // Available to this player: what is left, and what only this player can give up.
        let available = i128::from(stock.max(0)) + i128::from(held.pieces);
        let share = available * i128::from(self.max_pending_stock_percent) / 100;
        let share = i64::try_from(share).unwrap_or(i64::MAX).max(1);
        if held.pieces.saturating_add(quantity) > share {
            return Err(PaymentError::TooManyHeld(share));
        }
        Ok(())
    }

    /// Returns the time until an unpaid order of `quantity` pieces is closed.
    pub(super) fn ttl_of(&self, product: &Product, quantity: i64) -> Duration {
        match product.stock {
            Some(stock) if stock.saturating_sub(quantity) < self.scarce_stock => {
                self.ttl.min(self.scarce_ttl)
            }
            _ => self.ttl,
        }
    }
}

/// First key of the advisory locks of players, which sets them apart from other advisory locks.
const PLAYER_LOCKS: i32 = 0x7061_7901;

/// Second key of the player's lock: the random end of the id. Two players with the same one wait for each other,
/// nothing more.
pub(super) fn lock_key(user: UserId) -> i32 {
    let [.., a, b, c, d] = user.as_ulid().to_bytes();
    i32::from_be_bytes([a, b, c, d])
}

/// Makes the player's orders created one after another, until the end of the transaction. SQLite has one
/// writer in any case.
pub(super) async fn lock_player(
    connection: &mut AnyConnection,
    dialect: Dialect,
    user: UserId,
) -> Result<(), PaymentError> {
    if dialect == Dialect::Postgres {
        sqlx::query("SELECT CAST(pg_advisory_xact_lock($1, $2) AS TEXT)")
            .bind(PLAYER_LOCKS)
            .bind(lock_key(user))
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// The same for several players, by their keys in ascending order, so that two transactions do not deadlock.
/// Postgres.
pub(super) async fn lock_players(
    connection: &mut AnyConnection,
    keys: &BTreeSet<i32>,
) -> Result<(), PaymentError> {
    // A scan of a list keeps its order.
    sqlx::query(
        "SELECT CAST(pg_advisory_xact_lock($1, CAST(key AS INTEGER)) AS TEXT)
         FROM json_array_elements_text(CAST($2 AS json)) AS keys (key)",
    )
    .bind(PLAYER_LOCKS)
    .bind(serde_json::json!(keys).to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// Counts what the player holds unpaid. A player who was erased orders no more.
pub(super) async fn held(
    connection: &mut AnyConnection,
    user: UserId,
    product: &ProductId,
) -> Result<Held, PaymentError> {
    let row = sqlx::query(
        "SELECT count(*) AS orders,
                CAST(coalesce(sum(CASE WHEN product_id = $1 THEN quantity ELSE 0 END), 0) AS BIGINT)
                    AS pieces,
                (SELECT count(*) FROM users WHERE id = $2 AND erased_at IS NOT NULL) AS erased
         FROM orders WHERE user_id = $2 AND status = 'pending'",
    )
    .bind(product)
    .bind(user)
    .fetch_one(connection)
    .await?;
    if row.try_get::<i64, _>("erased")? > 0 {
        return Err(PaymentError::PlayerErased);
    }
    Ok(Held {
        orders: row.try_get("orders")?,
        pieces: row.try_get("pieces")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fen::Fen;

    const RULES: HoldRules = HoldRules {
        ttl: Duration::from_secs(1800),
        scarce_ttl: Duration::from_secs(300),
        scarce_stock: 10,
        max_pending_orders: 3,
        max_pending_stock_percent: 25,
    };

    fn product(stock: Option<i64>) -> Product {
        Product {
            stock,
            ..Product::new("gems".parse().unwrap(), "Gems", Fen::new(1).unwrap())
        }
    }

    #[test]
    fn one_piece_is_admitted_however_small_the_share() {
        let held = |pieces| Held { orders: 0, pieces };
        let admit = |held, stock, quantity| RULES.admit(held, &product(stock), quantity);
        assert!(admit(held(0), Some(1), 1).is_ok());
        assert!(matches!(
            admit(held(0), Some(4), 2),
            Err(PaymentError::TooManyHeld(1))
        ));
        assert!(admit(held(0), Some(8), 2).is_ok());
        assert!(admit(held(2), Some(6), 1).is_err());
        assert!(admit(held(1000), None, 1000).is_ok());
        assert!(admit(held(i64::MAX), Some(i64::MAX), i64::MAX).is_err());
    }

    #[test]
    fn pending_orders_are_bounded_for_every_product() {
        let held = |orders| Held { orders, pieces: 0 };
        assert!(RULES.admit(held(2), &product(None), 1).is_ok());
        assert!(matches!(
            RULES.admit(held(3), &product(None), 1),
            Err(PaymentError::TooManyPending(3))
        ));
    }

    #[test]
    fn scarce_stock_is_held_for_a_shorter_time() {
        let ttl = |stock, quantity| RULES.ttl_of(&product(stock), quantity).as_secs();
        assert_eq!(ttl(None, 5), 1800);
        assert_eq!(ttl(Some(15), 5), 1800);
        assert_eq!(ttl(Some(14), 5), 300);
        let short = HoldRules {
            ttl: Duration::from_secs(5),
            ..RULES
        };
        assert_eq!(short.ttl_of(&product(Some(1)), 1).as_secs(), 5);
    }
}
