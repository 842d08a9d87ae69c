//! Conversions between configured texts and typed values, for serde's `deserialize_with` and
//! `serialize_with`: parsing by `FromStr`, printing by `Display`, hiding secrets.

use std::{fmt, marker::PhantomData, net::SocketAddr, str::FromStr, time::Duration};

use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer, Serializer,
    de::{self, Error},
};

const HIDDEN: &str = "***";

/// Reads a value from its text.
///
/// # Errors
/// The value is of another type or cannot be parsed.
pub fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    Parsed::deserialize(deserializer).map(|Parsed(value)| value)
}

/// Reads a value that may be unset from its text.
///
/// # Errors
/// The value is of another type or cannot be parsed.
pub fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    parsed(deserializer).map(Some)
}

/// Reads values from a list of texts or from one text, separated by commas or line breaks; PEM blocks
/// need no separator.
///
/// # Errors
/// The value is of another type or cannot be parsed.
pub fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    deserializer.deserialize_any(ListVisitor(PhantomData))
}

/// Reads an IP address and a port.
///
/// # Errors
/// The value is of another type or cannot be parsed.
pub fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    // Other types get the same error as an unparsable text.
    let text = String::deserialize(deserializer).unwrap_or_default();
    let wanted = "must be an IP address and port such as 127.0.0.1:8080";
    text.parse().map_err(|_| D::Error::custom(wanted))
}

/// Reads an IP address and a port that may be unset.
///
/// # Errors
/// The value is of another type or cannot be parsed.
pub fn optional_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    address(deserializer).map(Some)
}

/// Reads a secret that may be unset but not empty.
///
/// # Errors
/// The value is of another type or cannot be parsed.
pub fn secret<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SecretString>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        Err(D::Error::custom("must not be empty"))
    } else {
        Ok(Some(text.into()))
    }
}

/// Prints a placeholder for a secret that is set.
///
/// # Errors
/// The serializer's own.
pub fn hidden<T, S: Serializer>(secret: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(_) => serializer.serialize_some(HIDDEN),
        None => serializer.serialize_none(),
    }
}

/// Prints a placeholder for each secret.
///
/// # Errors
/// The serializer's own.
pub fn all_hidden<T, S: Serializer>(secrets: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(secrets.iter().map(|_| HIDDEN))
}

/// Durations such as `30s`, `15m`, `2h` or `30d`, for serde's `with`.
pub mod duration {
    use super::*;

    /// Reads a duration.
    ///
    /// # Errors
    /// The value is not a duration with a unit.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let wanted = "must be a duration such as 30s, 15m, 2h or 30d";
        let text = String::deserialize(deserializer).unwrap_or_default();
        humantime::parse_duration(&text).map_err(|_| D::Error::custom(wanted))
    }

    /// Prints a duration in the largest unit that divides it.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        // The largest unit that divides it; humantime would print 35 days as a month and some days.
        let seconds = duration.as_secs();
        let whole = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")]
            .into_iter()
            .find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
        match whole {
            Some((unit, name)) if duration.subsec_nanos() == 0 => {
                serializer.collect_str(&format_args!("{}{name}", seconds / unit))
            }
            _ => serializer.collect_str(&humantime::format_duration(*duration)),
        }
    }
}

/// Durations that may be unset, for serde's `with`.
pub mod optional_duration {
    use super::*;

    /// Reads a duration that may be unset.
    ///
    /// # Errors
    /// The value is not a duration with a unit.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        duration::deserialize(deserializer).map(Some)
    }

    /// Prints a duration that may be unset in the largest unit that divides it.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => duration::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }
}

struct Parsed<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map(Self)
            .map_err(D::Error::custom)
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: FromStr<Err: fmt::Display>> de::Visitor<'de> for ListVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of strings")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
        let items = if text.contains(PEM_BEGIN) {
            pem_blocks(text)
        } else {
            text.split([',', '\n']).collect()
        };
        let items = items
            .into_iter()
            .map(str::trim)
            .filter(|item| !item.is_empty());
        items.map(|item| item.parse().map_err(E::custom)).collect()
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut values = Vec::new();
        while let Some(Parsed(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(values)
    }
}

const PEM_BEGIN: &str = "-----BEGIN ";

/// Splits a text before each PEM block.
fn pem_blocks(text: &str) -> Vec<&str> {
    let starts: Vec<_> = text
        .match_indices(PEM_BEGIN)
        .map(|(start, _)| start)
        .collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| &text[*start..end])
        .collect()
}
