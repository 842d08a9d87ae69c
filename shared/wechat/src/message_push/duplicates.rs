//! Keys by which repeated deliveries are recognised.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};

/// The key that all deliveries of one message share: at most [`Self::MAX_LEN`] bytes of text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DuplicateKey(String);

impl DuplicateKey {
    /// Maximum length in bytes.
    pub const MAX_LEN: usize = 128;

    /// Joins a kind and the ids of what it is about. Ids that are too long are replaced by a digest.
    pub(super) fn of(kind: &str, ids: &[&str]) -> Self {
        let mut key = kind.to_owned();
        for id in ids {
            key.push(':');
            key.push_str(id);
        }
        match key.len() <= Self::MAX_LEN {
            true => Self(key),
            false => Self(format!("{kind}:sha256:{}", hash(&key))),
        }
    }

    /// Derives the key from the whole message.
    pub(super) fn digest(message: &str) -> Self {
        Self(format!("sha256:{}", hash(message)))
    }

    /// Returns the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DuplicateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn hash(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_distinct() {
        assert_eq!(DuplicateKey::of("gift", &["r_1"]).as_str(), "gift:r_1");
        let long = DuplicateKey::of("gift", &[&"x".repeat(500)]);
        assert!(long.as_str().starts_with("gift:sha256:"));
        assert!(long.as_str().len() <= DuplicateKey::MAX_LEN);
        assert_ne!(long, DuplicateKey::of("gift", &[&"x".repeat(501)]));
        assert_ne!(DuplicateKey::digest("a"), DuplicateKey::digest("b"));
    }
}
