//! Money in fen, the unit of WeChat Pay's API, and the decimal yuan of its bills. No floats.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount of CNY in fen (1 yuan is 100 fen), never negative.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "i64", into = "i64")]
pub struct Fen(i64);

/// A negative amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount in fen cannot be negative")]
pub struct NegativeFen;

impl Fen {
    /// Zero.
    pub const ZERO: Fen = Fen(0);

    /// Creates an amount in fen.
    ///
    /// # Errors
    /// When it is negative.
    pub const fn new(fen: i64) -> Result<Self, NegativeFen> {
        if fen < 0 {
            return Err(NegativeFen);
        }
        Ok(Self(fen))
    }

    /// Returns the amount in fen.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Adds; `None` on overflow.
    pub fn checked_add(self, other: Fen) -> Option<Fen> {
        self.0.checked_add(other.0).map(Fen)
    }

    /// Subtracts; `None` when `other` is greater.
    pub fn checked_sub(self, other: Fen) -> Option<Fen> {
        (self.0 >= other.0).then(|| Fen(self.0 - other.0))
    }

    /// Multiplies by a quantity; `None` on overflow.
    pub fn checked_mul(self, quantity: u32) -> Option<Fen> {
        self.0.checked_mul(i64::from(quantity)).map(Fen)
    }

    /// Parses yuan with up to two decimals, as in bills (`6.48`).
    pub(super) fn from_yuan(text: &str) -> Option<Fen> {
        Fen::new(scaled(text, 2)?).ok()
    }
}

impl fmt::Display for Fen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fen", self.0)
    }
}

impl TryFrom<i64> for Fen {
    type Error = NegativeFen;

    fn try_from(fen: i64) -> Result<Self, NegativeFen> {
        Self::new(fen)
    }
}

impl From<Fen> for i64 {
    fn from(fen: Fen) -> i64 {
        fen.0
    }
}

/// Parses a decimal number multiplied by ten to the power of `places`; `None` when it has more
/// decimals, is not a number, or overflows.
pub(super) fn scaled(text: &str, places: usize) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || fraction.len() > places {
        return None;
    }
    let mut value: i64 = 0;
    for byte in format!("{whole}{fraction:0<places$}").bytes() {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn yuan_amounts_parse_to_fen() {
        assert_eq!(Fen::from_yuan("6.48"), Fen::new(648).ok());
        assert_eq!(Fen::from_yuan("6.4"), Fen::new(640).ok());
        assert_eq!(Fen::from_yuan("0"), Some(Fen::ZERO));
        assert_eq!(scaled("-0.02000", 5), Some(-2000));
        for bad in [
            "",
            ".5",
            "1.234",
            "1e2",
            "-1.00",
            "6,48",
            "٣",
            "99999999999999999999",
        ] {
            assert_eq!(Fen::from_yuan(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn yuan_round_trips_to_fen(fen in 0..i64::MAX) {
            let yuan = format!("{}.{:02}", fen / 100, fen % 100);
            prop_assert_eq!(Fen::from_yuan(&yuan), Fen::new(fen).ok());
        }

        #[test]
        fn arithmetic_never_wraps(a in 0..i64::MAX, b in 0..i64::MAX, n: u32) {
            let (x, y) = (Fen(a), Fen(b));
            let sum = i128::from(a) + i128::from(b);
            prop_assert_eq!(x.checked_add(y).map(|f| i128::from(f.0)), i64::try_from(sum).ok().map(i128::from));
            prop_assert_eq!(x.checked_sub(y).is_some(), a >= b);
            let product = i128::from(a) * i128::from(n);
            prop_assert_eq!(x.checked_mul(n).map(|f| i128::from(f.0)), i64::try_from(product).ok().map(i128::from));
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            let _ = scaled(&text, 5);
        }
    }
}
