//! The ids of WeChat Pay. Ours are validated, because they are used in paths; WeChat's are opaque.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Reason why a text is not a valid order or refund number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Too short or too long.
    #[error("the number has the wrong length")]
    Length,
    /// A character other than `0-9 A-Z a-z _ -`. WeChat also allows `|` and `*`, but percent-encoding
    /// of them is inconsistent, which breaks signatures (§1.2).
    #[error("the number has characters other than letters, digits, '_' and '-'")]
    Character,
}

fn check(id: &str, lengths: std::ops::RangeInclusive<usize>) -> Result<(), InvalidId> {
    if !lengths.contains(&id.len()) {
        return Err(InvalidId::Length);
    }
    if !id
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    {
        return Err(InvalidId::Character);
    }
    Ok(())
}

macro_rules! common {
    ($name:ident) => {
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

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

macro_rules! ours {
    ($(#[$doc:meta])* $name:ident, $lengths:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses a number that WeChat accepts and that needs no percent-encoding.
            ///
            /// # Errors
            /// The rule that was violated.
            pub fn parse(id: impl Into<String>) -> Result<Self, InvalidId> {
                let id = id.into();
                check(&id, $lengths)?;
                Ok(Self(id))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(id: String) -> Result<Self, InvalidId> {
                Self::parse(id)
            }
        }

        common!($name);
    };
}

macro_rules! given {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps an id from WeChat or from configuration without validation.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }
        }

        common!($name);
    };
}

ours!(
    /// Our order number, unique within the merchant: 6 to 32 of `0-9 A-Z a-z _ -` (§4.1).
    OutTradeNo,
    6..=32
);
ours!(
    /// Our refund number: 1 to 64 of `0-9 A-Z a-z _ -`. One number is at most one refund (§6.1).
    OutRefundNo,
    1..=64
);
given!(
    /// The merchant number.
    MchId
);
given!(
    /// The id of a key: `PUB_KEY_ID_…`, or the hex serial of a certificate (§2.1).
    Serial
);
given!(
    /// Identifies a prepared payment for the client; valid for two hours (§4.2).
    PrepayId
);
given!(
    /// WeChat's id of a payment; absent before the payment.
    TransactionId
);
given!(
    /// WeChat's id of a refund.
    RefundId
);

impl Serial {
    /// Whether this can be the serial of a certificate: those are hex, while ids of public keys, which
    /// are only configured, are not (§3).
    pub(super) fn may_be_certificate(&self) -> bool {
        !self.0.is_empty() && self.0.bytes().all(|b| b.is_ascii_hexdigit())
    }

    /// Whether WeChat could sign with a key of this id: `PUB_KEY_ID_` and digits, or the serial of a
    /// certificate in hex. WeChat's have 34 and 40 digits; neither length is documented. 40 is the maximum of
    /// X.509, 16 the minimum by which public authorities abide.
    pub(super) fn is_plausible(&self) -> bool {
        match self.0.strip_prefix("PUB_KEY_ID_") {
            Some(id) => {
                (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit())
            }
            None => (16..=40).contains(&self.0.len()) && self.may_be_certificate(),
        }
    }
}

/// Percent-encodes every character that has a meaning in a path or a query.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_numbers_have_6_to_32_safe_characters() {
        assert!(OutTradeNo::parse("T2026_01-01").is_ok());
        assert_eq!(OutTradeNo::parse("short"), Err(InvalidId::Length));
        assert_eq!(OutTradeNo::parse("x".repeat(33)), Err(InvalidId::Length));
        for bad in ["T|2026", "T*2026", "T/2026", "T 2026", "订单二"] {
            assert_eq!(OutTradeNo::parse(bad), Err(InvalidId::Character), "{bad}");
        }
        assert!(serde_json::from_str::<OutTradeNo>("\"../../x\"").is_err());
        assert!(OutRefundNo::parse("R").is_ok() && OutRefundNo::parse("").is_err());
    }

    #[test]
    fn path_segments_are_percent_encoded() {
        assert_eq!(encoded("4200_a-Z9"), "4200_a-Z9");
        assert_eq!(encoded("../a?b=c#d|é"), "%2E%2E%2Fa%3Fb%3Dc%23d%7C%C3%A9");
    }

    #[test]
    fn plausible_serials_have_the_form_of_wechats() {
        let plausible = |serial: &str| Serial::new(serial).is_plausible();
        for good in [
            "5D20E6B1A94C7F3380E1D2C3B4A5968778695A4B",
            "5d20e6b1a94c7f3380e1d2c3b4a5968778695a4b",
            "5D20E6B1A94C7F33",
            "PUB_KEY_ID_0119000123452026010100000000000001",
        ] {
            assert!(plausible(good), "{good}");
        }
        for bad in [
            "",
            "x",
            "5D20E6B1A94C7F3",
            "5D20E6B1A94C7F3380E1D2C3B4A5968778695A4B0",
            "5D20E6B1A94C7F3380E1D2C3B4A5968778695A4G",
            "PUB_KEY_ID_",
            "PUB_KEY_ID_01x",
            "pub_key_id_01",
            "' OR 1=1 --",
        ] {
            assert!(!plausible(bad), "{bad}");
        }
        assert!(!plausible(&format!("PUB_KEY_ID_{}", "1".repeat(65))));
    }

    #[test]
    fn only_hex_serials_may_be_certificates() {
        assert!(Serial::new("5D20E6B1A94C7F3380E1D2C3B4A5968778695A4B").may_be_certificate());
        assert!(!Serial::new("PUB_KEY_ID_01").may_be_certificate());
        assert!(!Serial::new("").may_be_certificate());
    }
}
