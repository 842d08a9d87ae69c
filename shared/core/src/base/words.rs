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

/// Stores a type in a text column as its `Display` writes it, and reads it by its `FromStr`.
macro_rules! stored_as_text {
    ($name:ident) => {
        impl ::sqlx::Type<::sqlx::Any> for $name {
            fn type_info() -> ::sqlx::any::AnyTypeInfo {
                <String as ::sqlx::Type<::sqlx::Any>>::type_info()
            }
        }

        impl ::sqlx::Encode<'_, ::sqlx::Any> for $name {
            fn encode_by_ref(
                &self,
                buffer: &mut <::sqlx::Any as ::sqlx::Database>::ArgumentBuffer,
            ) -> Result<::sqlx::encode::IsNull, ::sqlx::error::BoxDynError> {
                ::sqlx::Encode::<::sqlx::Any>::encode(self.to_string(), buffer)
            }
        }

        impl<'r> ::sqlx::Decode<'r, ::sqlx::Any> for $name {
            fn decode(
                value: <::sqlx::Any as ::sqlx::Database>::ValueRef<'r>,
            ) -> Result<Self, ::sqlx::error::BoxDynError> {
                let text = <&str as ::sqlx::Decode<'r, ::sqlx::Any>>::decode(value)?;
                Ok(text.parse()?)
            }
        }
    };
}

pub(crate) use stored_as_text;
pub(crate) use words;
