//! Identifiers of our own entities, each in a type of its own so that a session cannot be passed where a
//! user is meant. Those that the service issues are ULIDs (26 characters, ordered by creation time); a
//! product's id is chosen by the operator. WeChat's identifiers are defined by its client
//! (`avalon_wechat::OpenId`).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de};
use ulid::Ulid;
use utoipa::ToSchema;

use crate::base::stored_text::stored_as_text;

/// A text that is not a ULID in its canonical spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: 26 characters of Crockford's base 32 are needed")]
pub struct IdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, example = "01JZ5N4V7W8X9YABCDEFGHJKMN")]
        pub struct $name(Ulid);

        impl $name {
            /// Generates an id from the clock and 80 random bits.
            #[allow(clippy::new_without_default, reason = "a default id would be a surprise")]
            pub fn new() -> Self {
                Self(Ulid::generate())
            }

            /// Returns the id as a ULID.
            pub fn as_ulid(self) -> Ulid {
                self.0
            }
        }

        impl From<Ulid> for $name {
            fn from(ulid: Ulid) -> Self {
                Self(ulid)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let ulid = Ulid::from_string(text).map_err(|_| IdError)?;
                // The library also reads lower case and overflows. An id has one spelling here, so
                // that texts may be compared.
                let mut spelling = [0; ulid::ULID_LEN];
                if ulid.array_to_str(&mut spelling) == text { Ok(Self(ulid)) } else { Err(IdError) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        stored_as_text!($name);
    };
}

id! {
    /// A player, as the API's `_id` and `userId` name them.
    UserId
}

id! {
    /// One sign-in of a player on one device.
    SessionId
}

id! {
    /// An order; also its number at the payment channel.
    OrderId
}

id! {
    /// A refund; also its number at the payment channel.
    RefundId
}

id! {
    /// A payment callback in the inbox.
    InboxId
}

id! {
    /// A message that WeChat pushed.
    PushId
}

id! {
    /// A webhook to the game server, the `webhook-id` of every attempt.
    FulfilmentId
}

id! {
    /// A subscribe message to a player.
    MessageId
}

id! {
    /// An erasure of a player, the `webhook-id` of its report to the game server.
    ErasureId
}

/// A product, as the operator named it: 1 to 32 letters, digits, hyphens or underscores.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProductId(String);

/// A text that no product can have as its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("1 to 32 letters, digits, hyphens or underscores are needed")]
pub struct InvalidProductId;

impl ProductId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ProductId {
    type Error = InvalidProductId;

    fn try_from(text: String) -> Result<Self, InvalidProductId> {
        let valid = (1..=32).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if valid {
            Ok(Self(text))
        } else {
            Err(InvalidProductId)
        }
    }
}

impl FromStr for ProductId {
    type Err = InvalidProductId;

    fn from_str(text: &str) -> Result<Self, InvalidProductId> {
        Self::try_from(text.to_owned())
    }
}

impl From<ProductId> for String {
    fn from(id: ProductId) -> Self {
        id.0
    }
}

impl fmt::Display for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ProductId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProductId({})", self.0)
    }
}

stored_as_text!(ProductId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text_and_its_json() {
        let id = UserId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<UserId>(&json).unwrap(), id);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "x",
            "01JZ",
            "01JZ5N4V7W8X9YABCDEFGHJKM!",
            "01jz5n4v7w8x9yabcdefghjkmn",
            "81JZ5N4V7W8X9YABCDEFGHJKMN",
        ] {
            assert_eq!(text.parse::<SessionId>(), Err(IdError), "{text:?}");
            assert!(
                serde_json::from_value::<SessionId>(text.into()).is_err(),
                "{text:?}"
            );
        }
        assert!("01JZ5N4V7W8X9YABCDEFGHJKMN".parse::<OrderId>().is_ok());
    }

    #[test]
    fn product_ids_are_short_and_plain() {
        assert!("gold_100-A".parse::<ProductId>().is_ok());
        for odd in ["", "a:b", "a b", "礼包", "x\0", &"x".repeat(33)] {
            assert_eq!(odd.parse::<ProductId>(), Err(InvalidProductId), "{odd:?}");
            assert!(serde_json::from_value::<ProductId>(odd.into()).is_err());
        }
    }
}
