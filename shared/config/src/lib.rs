//! The configuration loader: defaults, then a TOML file, then environment variables
//! `AVALON_SECTION__KEY` (or `AVALON_SECTION__KEY_FILE`, a file with the value), deserialized once
//! at start-up into typed sections.
//!
//! It knows no section. Each domain declares its own with the helpers of [`text`] and checks them
//! with [`rule()`]; the binary composes them. Unknown keys are errors, every error is one line that
//! names key and origin, and no error or printed configuration contains a secret.

mod error;
mod http_url;
mod mode;
mod node;
mod rule;
mod source;
pub mod text;

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::{ConfigError, Origin};
pub use http_url::{HttpUrl, HttpUrlError};
pub use mode::Mode;
pub use rule::{Violation, rule};
pub use source::known_keys;

/// Reads a configuration: the file at `path`, if any, over the defaults, and `env` over both; then
/// applies `check`. [`process_env`] is the usual `env`; command line options can be chained to it as
/// further variables.
///
/// Empty variables count as unset. The content of a `…_FILE` is the value, less one trailing newline.
///
/// # Errors
/// The first problem found.
pub fn load<T>(
    path: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
    check: impl FnOnce(&T) -> Result<(), Violation>,
) -> Result<T, ConfigError>
where
    T: Default + Serialize + DeserializeOwned,
{
    let mut tree = match path {
        Some(path) => source::read_file(path)?,
        None => node::Node::empty(),
    };
    source::overlay_env::<T>(&mut tree, env)?;
    let config = T::deserialize(&tree)?;
    check(&config).map_err(|violation| ConfigError::Key {
        origin: tree.origin_of(violation.key).cloned(),
        key: violation.key.to_owned(),
        problem: violation.problem.to_owned(),
    })?;
    Ok(config)
}

/// Renders a configuration as TOML, with `***` for every secret. Keys that are unset and have no
/// default are omitted.
pub fn redacted_toml(config: &impl Serialize) -> String {
    // Only a map with keys other than strings could fail here, and there is none.
    toml::to_string_pretty(config).unwrap_or_default()
}

/// The environment of this process, as [`load`] takes it. Variables that are not valid Unicode are
/// ignored: none of ours can be.
pub fn process_env() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

#[cfg(test)]
mod tests;
