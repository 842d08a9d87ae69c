//! Names of scenes, channels and variants.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::stored_text::stored_as_text;

/// A text that names no scene, channel or variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 32 letters, digits, hyphens or underscores")]
pub struct InvalidName;

/// The name of a scene: 1 to 32 letters, digits, hyphens or underscores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SceneName(String);

pub(super) fn is_name(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

impl TryFrom<String> for SceneName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        is_name(&text).then_some(Self(text)).ok_or(InvalidName)
    }
}

impl FromStr for SceneName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::try_from(text.to_owned())
    }
}

impl From<SceneName> for String {
    fn from(name: SceneName) -> Self {
        name.0
    }
}

impl fmt::Display for SceneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

stored_as_text!(SceneName);
