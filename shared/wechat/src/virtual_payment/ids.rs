//! The ids of virtual payment. Those that we choose are validated: WeChat refuses others with 90018, or
//! accepts one number twice.

use std::fmt;

use serde::Serialize;

/// Reason why a text is not a valid order or bill number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTradeNo {
    /// Empty or too long.
    #[error("the number has the wrong length")]
    Length,
    /// A character that WeChat does not accept.
    #[error("the number has a character that virtual payment does not accept")]
    Character,
    /// WeChat reserves numbers with a leading underscore for its own.
    #[error("the number begins with an underscore")]
    LeadingUnderscore,
}

fn check(id: &str, max: usize, extra: &[u8]) -> Result<(), InvalidTradeNo> {
    if id.is_empty() || id.len() > max {
        return Err(InvalidTradeNo::Length);
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b) || extra.contains(&b);
    if !id.bytes().all(allowed) {
        return Err(InvalidTradeNo::Character);
    }
    if id.starts_with('_') {
        return Err(InvalidTradeNo::LeadingUnderscore);
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Returns the id as written on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Converts into the id as written on the wire, without copying.
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

macro_rules! chosen {
    ($name:ident, $max:expr, $extra:expr) => {
        impl $name {
            /// Parses a number that we choose.
            ///
            /// # Errors
            /// The rule that was violated.
            pub fn parse(id: impl Into<String>) -> Result<Self, InvalidTradeNo> {
                let id = id.into();
                check(&id, $max, $extra)?;
                Ok(Self(id))
            }
        }
    };
}

id!(
    /// The order number of a purchase: at most 32 of `0-9 A-Z a-z _ - | * @`, without a leading
    /// underscore, used once.
    TradeNo
);
chosen!(TradeNo, 32, b"|*@");
id!(
    /// The number of a change of a player's coins: at most 63 of `0-9 A-Z a-z _ -`, without a leading
    /// underscore. Unique per player and zone; WeChat recognises a repeat for 48 hours.
    BillNo
);
chosen!(BillNo, 63, b"");
id!(
    /// WeChat's id of the app within virtual payment (console: *offerId*).
    OfferId
);
id!(
    /// A zone published in the console, `"1"` for games without zones. Each environment has its own.
    ZoneId
);

impl TradeNo {
    /// Wraps a number that WeChat chose, for example that of a store order: those may begin with an
    /// underscore.
    pub fn given(id: impl Into<String>) -> Self {
        Self(id.into())
    }
}

impl OfferId {
    /// Wraps an id from the console; only WeChat validates it.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }
}

impl ZoneId {
    /// Wraps an id from the console; only WeChat validates it.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }
}

impl Default for ZoneId {
    fn default() -> Self {
        Self::new("1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bill_numbers_have_up_to_63_safe_characters() {
        assert!(BillNo::parse("x".repeat(63)).is_ok());
        assert_eq!(BillNo::parse("x".repeat(64)), Err(InvalidTradeNo::Length));
        assert_eq!(BillNo::parse(""), Err(InvalidTradeNo::Length));
        let leading = BillNo::parse("_leading");
        assert_eq!(leading, Err(InvalidTradeNo::LeadingUnderscore));
        for bad in ["a|b", "a*b", "a@b", "a b", "单"] {
            assert_eq!(BillNo::parse(bad), Err(InvalidTradeNo::Character), "{bad}");
        }
    }

    #[test]
    fn order_numbers_have_up_to_32_characters() {
        assert!(TradeNo::parse("a|b*c@d_e-f").is_ok());
        assert_eq!(TradeNo::parse("x".repeat(33)), Err(InvalidTradeNo::Length));
        let leading = TradeNo::parse("_h5_1");
        assert_eq!(leading, Err(InvalidTradeNo::LeadingUnderscore));
        assert_eq!(TradeNo::given("_h5_1").as_str(), "_h5_1");
    }
}
