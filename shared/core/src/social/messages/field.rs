//! The fields of a message, by their type at WeChat. Prose is cut to WeChat's length; a number, time or code is not,
//! since a shortened one would say something else.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};

/// A field that WeChat would reject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct FieldError {
    /// Its name.
    pub field: String,
    /// What it has to be.
    pub rule: &'static str,
}

/// The name of a field: its type and a number, such as `thing1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldName(String);

impl FieldName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name begins with the type, as WeChat's do.
    pub fn fits(&self, kind: FieldKind) -> bool {
        self.0.trim_end_matches(|c: char| c.is_ascii_digit()) == kind.to_string()
    }
}

impl TryFrom<String> for FieldName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let word = text.trim_end_matches(|c: char| c.is_ascii_digit());
        let good = word.len() < text.len()
            && text.len() <= 32
            && !word.is_empty()
            && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if good {
            Ok(Self(text))
        } else {
            Err("must be a type and a number such as thing1")
        }
    }
}

impl From<FieldName> for String {
    fn from(name: FieldName) -> String {
        name.0
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The type of a field at WeChat.
#[derive(Clone, Copy, Debug, Display, EnumString, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum FieldKind {
    /// Any text of up to 20 characters.
    Thing,
    /// A number of up to 32 digits.
    Number,
    /// Up to 32 letters.
    Letter,
    /// Up to 5 symbols.
    Symbol,
    /// Up to 32 letters, digits and symbols.
    CharacterString,
    /// A time, perhaps with a date, or a span of two.
    Time,
    /// A date, perhaps with a time, or a span of two.
    Date,
    /// A currency symbol and up to 10 digits.
    Amount,
    /// Up to 17 digits and symbols.
    PhoneNumber,
    /// Up to 8 characters.
    CarNumber,
    /// Up to 10 Chinese characters or 20 letters.
    Name,
    /// Up to 5 Chinese characters.
    Phrase,
    /// One of the values of the template.
    Enum,
}

impl FieldKind {
    /// Checks a value and cuts it to WeChat's length.
    ///
    /// # Errors
    /// The rule that it violates.
    pub fn accept(self, text: &str) -> Result<String, &'static str> {
        let text = text.trim();
        if text.is_empty() {
            return Err("must not be empty");
        }
        let check = |good: bool, rule| if good { Ok(text.to_owned()) } else { Err(rule) };
        let count = text.chars().count();
        match self {
            Self::Thing => Ok(cut(text, 20)),
            Self::Name if text.is_ascii() => Ok(cut(text, 20)),
            Self::Name => Ok(cut(text, 10)),
            Self::Phrase if text.chars().all(is_chinese) => Ok(cut(text, 5)),
            Self::Phrase => Err("must be Chinese characters"),
            Self::Number => check(is_number(text, 32), "must be a number of at most 32 digits"),
            Self::Letter => check(
                count <= 32 && text.chars().all(|c| c.is_ascii_alphabetic()),
                "must be at most 32 letters",
            ),
            Self::Symbol => check(
                count <= 5
                    && text
                        .chars()
                        .all(|c| !c.is_alphanumeric() && !c.is_control() && c != ' '),
                "must be at most 5 symbols",
            ),
            Self::CharacterString => check(
                count <= 32 && text.chars().all(|c| c.is_ascii_graphic()),
                "must be at most 32 letters, digits and symbols",
            ),
            Self::Time => check(
                is_span(text, |moment| moment.time),
                "must be a time such as 15:01, perhaps after a date; a span is joined by ~",
            ),
            Self::Date => check(
                is_span(text, |moment| moment.date),
                "must be a date such as 2026年10月1日 or 2026-10-01; a span is joined by ~",
            ),
            Self::Amount => check(
                is_amount(text),
                "must be at most 10 digits, perhaps after a currency symbol",
            ),
            Self::PhoneNumber => check(
                count <= 17
                    && text
                        .chars()
                        .all(|c| c.is_ascii_digit() || "+-() ".contains(c)),
                "must be at most 17 digits and symbols",
            ),
            Self::CarNumber => check(
                count <= 8
                    && text
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || is_chinese(c)),
                "must be at most 8 letters, digits and Chinese characters",
            ),
            Self::Enum => check(
                count <= 20 && !text.chars().any(char::is_control),
                "must be a value of the template",
            ),
        }
    }
}

/// Cuts prose. Line breaks and control characters, which WeChat rejects, become spaces.
fn cut(text: &str, length: usize) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(length).collect::<String>().trim_end().to_owned()
}

fn is_chinese(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_number(text: &str, digits: usize) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    is_digits(whole)
        && is_digits(fraction)
        && text.bytes().filter(u8::is_ascii_digit).count() <= digits
}

fn is_amount(text: &str) -> bool {
    let text = text.strip_suffix('元').unwrap_or(text);
    let first = text
        .chars()
        .next()
        .filter(|c| !c.is_ascii_digit() && *c != '-');
    is_number(&text[first.map_or(0, char::len_utf8)..], 10)
}

/// Which parts a text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    date: bool,
    time: bool,
}

fn is_span(text: &str, wanted: fn(Moment) -> bool) -> bool {
    let mut parts = text.split('~');
    let good = |part: &str| moment(part.trim()).is_some_and(wanted);
    // The second of two may be a time on the same day.
    match (parts.next(), parts.next(), parts.next()) {
        (Some(one), None, None) => good(one),
        (Some(from), Some(to), None) => good(from) && moment(to.trim()).is_some(),
        _ => false,
    }
}

fn moment(text: &str) -> Option<Moment> {
    match text.split_once(' ') {
        Some((date, time)) => (is_date(date) && is_time(time.trim())).then_some(Moment {
            date: true,
            time: true,
        }),
        None if is_date(text) => Some(Moment {
            date: true,
            time: false,
        }),
        None if is_time(text) => Some(Moment {
            date: false,
            time: true,
        }),
        None => None,
    }
}

fn is_date(text: &str) -> bool {
    let text = text.replace(['年', '月', '/', '.'], "-");
    let text = text.trim_end_matches('日');
    let parts: Vec<Option<u32>> = text
        .split('-')
        .map(|part| part.parse().ok().filter(|_| is_digits(part)))
        .collect();
    matches!(parts[..], [Some(1000..=9999), Some(1..=12), Some(1..=31)])
}

fn is_time(text: &str) -> bool {
    let parts: Vec<Option<u32>> = text
        .split(':')
        .map(|part| {
            part.parse()
                .ok()
                .filter(|_| is_digits(part) && part.len() <= 2)
        })
        .collect();
    matches!(
        parts[..],
        [Some(0..=23), Some(0..=59)] | [Some(0..=23), Some(0..=59), Some(0..=59)]
    )
}

#[cfg(test)]
mod tests {
    use FieldKind as K;

    use super::*;

    #[test]
    fn prose_is_cut_and_has_no_line_breaks() {
        let long = "体力".repeat(11);
        assert_eq!(K::Thing.accept(&long).unwrap().chars().count(), 20);
        assert_eq!(K::Thing.accept(" a\nb ").unwrap(), "a b");
        assert_eq!(
            K::Name
                .accept("王小明王小明王小明王小明")
                .unwrap()
                .chars()
                .count(),
            10
        );
        assert_eq!(K::Name.accept(&"x".repeat(30)).unwrap().len(), 20);
        assert_eq!(K::Phrase.accept("配送中配送中").unwrap(), "配送中配送");
    }

    #[test]
    fn other_values_are_accepted_whole_or_not_at_all() {
        for (kind, good) in [
            (K::Number, "12.50"),
            (K::Number, "-3"),
            (K::Letter, "abc"),
            (K::Symbol, "!?★"),
            (K::CharacterString, "A-1#2"),
            (K::Time, "15:01"),
            (K::Time, "15:01:59"),
            (K::Time, "2026年10月1日 15:01"),
            (K::Time, "2026-10-01 15:01 ~ 16:00"),
            (K::Date, "2026年10月1日"),
            (K::Date, "2026/10/1"),
            (K::Date, "2026.10.01 10:00~2026.10.02"),
            (K::Amount, "￥12.5"),
            (K::Amount, "100元"),
            (K::PhoneNumber, "+86-0766-66888866"),
            (K::CarNumber, "粤A8Z888挂"),
            (K::Enum, "已完成"),
        ] {
            assert_eq!(kind.accept(good), Ok(good.to_owned()), "{kind}");
        }
        for (kind, odd) in [
            (K::Thing, "  "),
            (K::Number, "1.2.3"),
            (K::Number, "1e5"),
            (K::Number, &"1".repeat(33)),
            (K::Letter, "a1"),
            (K::Symbol, "a!"),
            (K::Symbol, "!!!!!!"),
            (K::CharacterString, "中"),
            (K::Time, "24:00"),
            (K::Time, "2026-10-01"),
            (K::Date, "15:01"),
            (K::Date, "2026-13-01"),
            (K::Date, "2026-10-01~2026-10-02~2026-10-03"),
            (K::Amount, "12345678901"),
            (K::PhoneNumber, "phone"),
            (K::CarNumber, "粤A 88888"),
            (K::Phrase, "ok"),
            (K::Enum, "a\u{0}"),
        ] {
            assert!(kind.accept(odd).is_err(), "{kind} {odd}");
        }
    }

    #[test]
    fn names_have_their_type_and_a_number() {
        let name = |text: &str| FieldName::try_from(text.to_owned());
        assert!(name("thing1").unwrap().fits(K::Thing));
        assert!(name("character_string02").unwrap().fits(K::CharacterString));
        assert!(!name("thing1").unwrap().fits(K::Name));
        for odd in ["thing", "1", "Thing1", "thing1x", ""] {
            assert!(name(odd).is_err(), "{odd}");
        }
    }
}
