//! What a player buys, and what WeChat accepts to sell.

use super::CoinAmount;
use crate::pay::Fen;

/// Totals that coins may cost, in yuan.
const COIN_PRICE_TIERS: [i64; 29] = [
    1, 3, 6, 8, 12, 18, 25, 30, 40, 45, 50, 60, 68, 73, 78, 88, 98, 108, 118, 128, 148, 168, 188,
    198, 328, 648, 998, 1998, 2998,
];
const MAX_ATTACH_BYTES: usize = 1024;

/// What a player buys.
#[derive(Clone, Copy, Debug)]
pub enum Purchase<'a> {
    /// Items of a product that the console knows.
    Items {
        /// The product in the console.
        product_id: &'a str,
        /// Number of pieces, at least 1.
        quantity: u32,
        /// Price of one piece; must be the console's, else the client gets -15016.
        unit_price: Fen,
        /// Opaque text that the delivery push returns. Never trusted there.
        attach: Option<&'a str>,
    },
    /// Coins, whose total must be one of WeChat's price tiers.
    Coins {
        /// Number of coins.
        quantity: CoinAmount,
        /// Price of one coin as set in the console.
        coin_price: Fen,
    },
}

/// Reason why a purchase cannot be offered to WeChat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPurchase {
    /// No pieces.
    #[error("the quantity is 0")]
    Quantity,
    /// Free, or beyond any price.
    #[error("the price is not positive, or too large")]
    Price,
    /// The product id is empty.
    #[error("the product id is empty")]
    Product,
    /// The attached text is too long.
    #[error("the attached text is longer than {MAX_ATTACH_BYTES} bytes")]
    Attach,
    /// WeChat sells coins only at certain totals.
    #[error("the total price of the coins is not one of WeChat's price tiers")]
    PriceTier,
}

impl Purchase<'_> {
    /// Returns the total price; `None` when it is beyond any price.
    pub fn total(&self) -> Option<Fen> {
        match self {
            Self::Items {
                quantity,
                unit_price,
                ..
            } => unit_price.checked_mul(*quantity),
            Self::Coins {
                quantity,
                coin_price,
            } => coin_price.checked_mul(quantity.get().unsigned_abs()),
        }
    }

    /// Checks what WeChat would refuse.
    pub(super) fn check(&self) -> Result<(), InvalidPurchase> {
        if let Self::Items {
            product_id,
            quantity,
            attach,
            ..
        } = self
        {
            if *quantity == 0 {
                return Err(InvalidPurchase::Quantity);
            }
            if product_id.is_empty() {
                return Err(InvalidPurchase::Product);
            }
            if attach.is_some_and(|attach| attach.len() > MAX_ATTACH_BYTES) {
                return Err(InvalidPurchase::Attach);
            }
        }
        let total = self.total().ok_or(InvalidPurchase::Price)?;
        if total == Fen::ZERO {
            return Err(InvalidPurchase::Price);
        }
        let in_tiers = COIN_PRICE_TIERS
            .iter()
            .any(|yuan| yuan * 100 == total.get());
        if matches!(self, Self::Coins { .. }) && !in_tiers {
            return Err(InvalidPurchase::PriceTier);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(product_id: &str, quantity: u32, price: i64) -> Purchase<'_> {
        Purchase::Items {
            product_id,
            quantity,
            unit_price: Fen::new(price).unwrap(),
            attach: None,
        }
    }

    fn coins(quantity: i64) -> Purchase<'static> {
        Purchase::Coins {
            quantity: CoinAmount::new(quantity).unwrap(),
            coin_price: Fen::new(10).unwrap(),
        }
    }

    #[test]
    fn unsellable_purchases_are_refused() {
        assert_eq!(items("a", 1, 1).check(), Ok(()));
        assert_eq!(items("a", 0, 1).check(), Err(InvalidPurchase::Quantity));
        assert_eq!(items("", 1, 1).check(), Err(InvalidPurchase::Product));
        assert_eq!(items("a", 1, 0).check(), Err(InvalidPurchase::Price));
        let overflow = items("a", u32::MAX, i64::MAX);
        assert_eq!(overflow.check(), Err(InvalidPurchase::Price));
        let long = "x".repeat(MAX_ATTACH_BYTES + 1);
        let attached = Purchase::Items {
            product_id: "a",
            quantity: 1,
            unit_price: Fen::new(1).unwrap(),
            attach: Some(&long),
        };
        assert_eq!(attached.check(), Err(InvalidPurchase::Attach));
    }

    #[test]
    fn coins_are_sold_only_at_price_tiers() {
        for quantity in [10, 30, 60, 6_480, 29_980] {
            assert_eq!(coins(quantity).check(), Ok(()), "{quantity}");
        }
        for quantity in [1, 59, 61, 20, 30_000] {
            let refused = Err(InvalidPurchase::PriceTier);
            assert_eq!(coins(quantity).check(), refused, "{quantity}");
        }
    }
}
