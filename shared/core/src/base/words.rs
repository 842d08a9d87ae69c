//! Enums that are words in tables, JSON and labels: one definition gives all three.

/// A text from a table is none of the known words.
#[derive(Debug, thiserror::Error)]
#[error("not a known word")]
pub struct UnknownWord;

/// An enum whose values have one word each, the same in tables, JSON and labels.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ::serde::Serialize, ::serde::Deserialize, ::utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            /// The word in tables, JSON and labels.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Every one there is.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::base::words::UnknownWord;

            fn from_str(word: &str) -> Result<Self, $crate::base::words::UnknownWord> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word).ok_or($crate::base::words::UnknownWord)
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use words;
