//! Human-readable texts: WeChat limits the number of characters and rejects those outside the Basic
//! Multilingual Plane, such as emoji (§1.3).

use std::fmt;

/// A text of 1 to `MAX` characters that WeChat Pay accepts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlainText<const MAX: usize>(String);

/// Description of the order, shown in the player's bill (§4.1).
pub type Description = PlainText<127>;
/// Opaque data, returned in queries, callbacks and bills once the order is paid (§4.1).
pub type Attach = PlainText<128>;
/// Reason of a refund, shown to the player (§6.1).
pub type Reason = PlainText<80>;

/// Reason why WeChat would reject a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Empty or too long.
    #[error("the text has the wrong length")]
    Length,
    /// A control character, or one that takes four bytes in UTF-8.
    #[error("the text has characters that WeChat Pay does not accept")]
    Character,
}

impl<const MAX: usize> PlainText<MAX> {
    /// Accepts a text unchanged.
    ///
    /// # Errors
    /// The rule that was violated.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidText> {
        let text = text.into();
        if !(1..=MAX).contains(&text.chars().count()) {
            return Err(InvalidText::Length);
        }
        if !text.chars().all(is_plain) {
            return Err(InvalidText::Character);
        }
        Ok(Self(text))
    }

    /// Drops characters that WeChat does not accept and truncates; `None` when the result is blank.
    pub fn lossy(text: &str) -> Option<Self> {
        let plain: String = text.chars().filter(|&c| is_plain(c)).take(MAX).collect();
        (!plain.trim().is_empty()).then_some(Self(plain))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for PlainText<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(c: char) -> bool {
    c.len_utf8() <= 3 && !c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_byte_characters_are_rejected_or_dropped() {
        assert_eq!(Description::parse("礼包🎁"), Err(InvalidText::Character));
        assert_eq!(Description::lossy("礼包🎁 x1").unwrap().as_str(), "礼包 x1");
        assert_eq!(Description::lossy("🎁\n"), None);
        let long = "礼".repeat(200);
        assert_eq!(Description::parse(&*long), Err(InvalidText::Length));
        assert_eq!(
            Description::lossy(&long).unwrap().as_str().chars().count(),
            127
        );
    }
}
