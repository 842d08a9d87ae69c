//! Identifiers of our own entities: ULIDs (26 characters, ordered by the time they were made), each
//! in a type of its own so that a session can't be passed where a user is meant. WeChat's
//! identifiers are not made here.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de};
use ulid::Ulid;
use utoipa::ToSchema;

/// A text that was to be an id is not a ULID.
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
            /// Makes a new id from the clock and 80 random bits.
            #[allow(clippy::new_without_default, reason = "a default id would be a surprise")]
            pub fn new() -> Self {
                Self(Ulid::generate())
            }

            /// The id as the ULID that it is.
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
            "01JZ",
            "01JZ5N4V7W8X9YABCDEFGHJKM!",
            "81JZ5N4V7W8X9YABCDEFGHJKMN",
        ] {
            assert_eq!(text.parse::<SessionId>(), Err(IdError), "{text:?}");
            assert!(
                serde_json::from_value::<SessionId>(text.into()).is_err(),
                "{text:?}"
            );
        }
    }
}
