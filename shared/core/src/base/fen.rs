//! Money: amounts of CNY in fen (1 yuan is 100 fen), never negative, without floats or silent overflow.
//! Each payment channel converts its own notation at its border.

use std::fmt;

use serde::{Deserialize, Serialize};
use sqlx::any::{Any, AnyTypeInfo, AnyValueRef};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{Database, Decode, Encode, Type};

/// An amount in fen.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "i64", into = "i64")]
pub struct Fen(i64);

/// An amount below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount in fen cannot be negative")]
pub struct NegativeFen;

impl Fen {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// Wraps an amount in fen.
    ///
    /// # Errors
    /// [`NegativeFen`].
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

    /// Returns the sum; none on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Returns the difference; none if it is negative.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        (self >= other).then(|| Self(self.0 - other.0))
    }

    /// Returns the price of `quantity` pieces; none on overflow.
    pub fn checked_mul(self, quantity: u32) -> Option<Self> {
        self.0.checked_mul(i64::from(quantity)).map(Self)
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
    fn from(fen: Fen) -> Self {
        fen.0
    }
}

impl Type<Any> for Fen {
    fn type_info() -> AnyTypeInfo {
        <i64 as Type<Any>>::type_info()
    }

    fn compatible(column: &AnyTypeInfo) -> bool {
        <i64 as Type<Any>>::compatible(column)
    }
}

impl Encode<'_, Any> for Fen {
    fn encode_by_ref(
        &self,
        buffer: &mut <Any as Database>::ArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<Any>>::encode_by_ref(&self.0, buffer)
    }
}

impl<'r> Decode<'r, Any> for Fen {
    fn decode(value: AnyValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self::new(<i64 as Decode<Any>>::decode(value)?)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_is_a_plain_non_negative_number() {
        assert_eq!(serde_json::to_string(&Fen(648)).unwrap(), "648");
        assert_eq!(serde_json::from_str::<Fen>("648").unwrap(), Fen(648));
        assert!(serde_json::from_str::<Fen>("-1").is_err());
    }

    proptest! {
        #[test]
        fn arithmetic_never_wraps(a in 0..i64::MAX, b in 0..i64::MAX, n: u32) {
            let (x, y) = (Fen(a), Fen(b));
            let sum = i128::from(a) + i128::from(b);
            prop_assert_eq!(x.checked_add(y).map(|f| i128::from(f.0)), i64::try_from(sum).ok().map(i128::from));
            prop_assert_eq!(x.checked_sub(y).map(Fen::get), (a >= b).then(|| a - b));
            let product = i128::from(a) * i128::from(n);
            prop_assert_eq!(x.checked_mul(n).map(|f| i128::from(f.0)), i64::try_from(product).ok().map(i128::from));
        }
    }
}
