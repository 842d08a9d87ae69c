//! What can be wrong with a configuration. Every message is one line and free of values, since any
//! value may be a secret.

use std::{fmt, io, path::PathBuf};

/// Why the configuration was rejected.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration: cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        reason: io::Error,
    },
    /// The file is not TOML.
    #[error("configuration: {}:{line}:{column}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong there, without quoting the file.
        message: String,
    },
    /// A key is unknown, missing, or its value is not allowed.
    #[error("configuration: {key}: {problem}{}", in_brackets(origin.as_ref()))]
    Key {
        /// The key, dotted.
        key: String,
        /// What is wrong with it.
        problem: String,
        /// Where the value came from; `None` for a missing one.
        origin: Option<Origin>,
    },
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "file {}, line {line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
        }
    }
}

fn in_brackets(origin: Option<&Origin>) -> String {
    origin
        .map(|origin| format!(" ({origin})"))
        .unwrap_or_default()
}
