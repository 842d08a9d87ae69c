//! Numbers of game coins. Not money: a coin's price is set in the console.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number of coins, never negative: a balance or a sum.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "i64", into = "i64")]
pub struct Coins(i64);

/// A negative number of coins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a number of coins cannot be negative")]
pub struct NegativeCoins;

impl Coins {
    /// Creates a number of coins.
    ///
    /// # Errors
    /// When it is negative.
    pub const fn new(coins: i64) -> Result<Self, NegativeCoins> {
        if coins < 0 {
            return Err(NegativeCoins);
        }
        Ok(Self(coins))
    }

    /// Returns the number.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Coins {
    type Error = NegativeCoins;

    fn try_from(coins: i64) -> Result<Self, NegativeCoins> {
        Self::new(coins)
    }
}

impl From<Coins> for i64 {
    fn from(coins: Coins) -> i64 {
        coins.0
    }
}

impl fmt::Display for Coins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number of coins to spend, give back or grant: 1 to 2³¹ − 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct CoinAmount(i32);

/// A number that WeChat does not accept as an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount of coins is from 1 to 2147483647")]
pub struct InvalidCoinAmount;

impl CoinAmount {
    /// Creates an amount.
    ///
    /// # Errors
    /// When it is not positive, or too large for WeChat's integers.
    pub fn new(coins: i64) -> Result<Self, InvalidCoinAmount> {
        let coins = i32::try_from(coins).map_err(|_| InvalidCoinAmount)?;
        if coins < 1 {
            return Err(InvalidCoinAmount);
        }
        Ok(Self(coins))
    }

    /// Returns the number.
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl TryFrom<i64> for CoinAmount {
    type Error = InvalidCoinAmount;

    fn try_from(coins: i64) -> Result<Self, InvalidCoinAmount> {
        Self::new(coins)
    }
}

impl From<CoinAmount> for i64 {
    fn from(amount: CoinAmount) -> i64 {
        i64::from(amount.0)
    }
}

impl fmt::Display for CoinAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_positive_and_fit_32_bits() {
        assert_eq!(CoinAmount::new(1).map(CoinAmount::get), Ok(1));
        assert!(CoinAmount::new(i64::from(i32::MAX)).is_ok());
        for bad in [0, -1, i64::from(i32::MAX) + 1, i64::MAX, i64::MIN] {
            assert_eq!(CoinAmount::new(bad), Err(InvalidCoinAmount), "{bad}");
        }
        assert_eq!(Coins::new(-1), Err(NegativeCoins));
    }
}
