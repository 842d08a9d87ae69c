//! Where values come from: a TOML file and environment variables, read into one tree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    path::Path,
};

use serde::Serialize;
use toml::de::{DeTable, DeValue};

use crate::{
    error::{ConfigError, Origin},
    node::{Node, Value},
};

/// Prefix of our environment variables.
const PREFIX: &str = "AVALON_";
/// Separates section and key.
const SEPARATOR: &str = "__";
/// Suffix of a variable that names a file with the value.
const FILE_SUFFIX: &str = "_FILE";

/// Reads a TOML file.
pub(super) fn read_file(path: &Path) -> Result<Node, ConfigError> {
    let text = fs::read_to_string(path).map_err(|reason| ConfigError::Unreadable {
        path: path.to_owned(),
        reason,
    })?;
    let file = File { path, text: &text };
    let table = DeTable::parse(&text).map_err(|error| {
        // The library's own display has several lines and quotes the file, which may hold secrets.
        file.syntax_error(error.span().unwrap_or_default(), error.message())
    })?;
    Ok(Node {
        value: file.table(table.get_ref())?,
        origin: None,
    })
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn table(&self, table: &DeTable<'_>) -> Result<Value, ConfigError> {
        let entries = table.iter().map(|(key, value)| {
            Ok((
                key.get_ref().to_string(),
                self.node(value.get_ref(), key.span())?,
            ))
        });
        entries.collect::<Result<_, _>>().map(Value::Table)
    }

    fn node(&self, value: &DeValue<'_>, span: Range<usize>) -> Result<Node, ConfigError> {
        let unreadable = || self.syntax_error(span.clone(), "number out of range");
        let value = match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                Value::Integer(parsed.map_err(|_| unreadable())?)
            }
            DeValue::Float(number) => {
                Value::Float(number.as_str().parse().map_err(|_| unreadable())?)
            }
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(datetime) => Value::Text(datetime.to_string()),
            DeValue::Array(items) => {
                let items = items
                    .iter()
                    .map(|item| self.node(item.get_ref(), item.span()));
                Value::List(items.collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => self.table(table)?,
        };
        let (line, _) = self.place(span.start);
        let origin = Some(Origin::File {
            path: self.path.to_owned(),
            line,
        });
        Ok(Node { value, origin })
    }

    fn syntax_error(&self, span: Range<usize>, message: &str) -> ConfigError {
        let (line, column) = self.place(span.start);
        let message = message.replace(['\r', '\n'], " ");
        ConfigError::Syntax {
            path: self.path.to_owned(),
            line,
            column,
            message,
        }
    }

    /// Line and column of a byte, both from 1.
    fn place(&self, byte: usize) -> (usize, usize) {
        let before = self.text.get(..byte).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }
}

/// Overlays the tree with environment variables.
pub(super) fn overlay_env<T: Default + Serialize>(
    tree: &mut Node,
    env: impl Iterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    // Sorted, so that of several mistakes always the same one is reported. Compose files and the
    // like can't unset a variable, only empty it.
    let variables: BTreeMap<_, _> = env
        .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
        .collect();
    for (name, value) in &variables {
        let key = &name[PREFIX.len()..];
        if !key.contains(SEPARATOR) {
            reject_near_miss::<T>(name, key)?;
            continue;
        }
        let (key, text) = match key.strip_suffix(FILE_SUFFIX) {
            None => (key, value.clone()),
            Some(key) => {
                let plain = &name[..PREFIX.len() + key.len()];
                if variables.contains_key(plain) {
                    return Err(error(key, format!("given twice, also as {plain}"), name));
                }
                // Without the path: by mistake, the variable may hold the secret itself.
                let text = fs::read_to_string(value).map_err(|reason| {
                    error(
                        key,
                        format!("cannot read the file: {}", reason.kind()),
                        name,
                    )
                })?;
                (key, without_newline(text))
            }
        };
        let dotted = dotted(key);
        let path: Vec<_> = dotted.split('.').collect();
        tree.set(&path, text, &Origin::Environment(name.clone()));
    }
    Ok(())
}

fn dotted(key: &str) -> String {
    key.replace(SEPARATOR, ".").to_lowercase()
}

fn error(key: &str, problem: String, name: &str) -> ConfigError {
    let origin = Some(Origin::Environment(name.to_owned()));
    ConfigError::Key {
        key: dotted(key),
        problem,
        origin,
    }
}

fn without_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// Rejects `AVALON_HTTP_LISTEN` where `AVALON_HTTP__LISTEN` is meant. Other names with single
/// underscores are not ours: Kubernetes, for one, sets `AVALON_SERVICE_HOST` for a service called
/// avalon.
fn reject_near_miss<T: Default + Serialize>(name: &str, key: &str) -> Result<(), ConfigError> {
    let key = key.to_lowercase();
    let known = known_keys::<T>();
    let Some(meant) = known.iter().find(|known| known.replace('.', "_") == key) else {
        return Ok(());
    };
    let right = format!("{PREFIX}{}", meant.replace('.', SEPARATOR).to_uppercase());
    let origin = Some(Origin::Environment(name.to_owned()));
    let problem = format!("must be given as {right}, with two underscores");
    Err(ConfigError::Key {
        key: meant.clone(),
        problem,
        origin,
    })
}

/// Lists all keys of a configuration, dotted.
pub fn known_keys<T: Default + Serialize>() -> BTreeSet<String> {
    // JSON, unlike TOML, also has keys that are unset.
    let defaults = serde_json::to_value(T::default()).unwrap_or_default();
    let sections = defaults.as_object().into_iter().flatten();
    sections
        .flat_map(|(section, keys)| {
            let keys = keys.as_object().into_iter().flatten();
            keys.map(move |(key, _)| format!("{section}.{key}"))
        })
        .collect()
}
