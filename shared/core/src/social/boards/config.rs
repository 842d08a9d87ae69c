//! `social.boards`: the boards that operators have not changed.

use std::collections::BTreeMap;

use avalon_config::{Violation, rule};
use serde::{Deserialize, Serialize};

use super::board::Board;
use super::names::BoardName;
use super::settings::BoardSettings;

/// Maximum number of boards: each process holds all of them, and they are labels of metrics.
pub const MAX_BOARDS: usize = 100;

/// Boards by name; by default `score`, whose highest scores rank first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BoardsConfig(pub BTreeMap<BoardName, BoardSettings>);

impl Default for BoardsConfig {
    fn default() -> Self {
        let score: Option<BoardName> = "score".parse().ok();
        let boards = score.map(|name| (name, BoardSettings::default()));
        Self(boards.into_iter().collect())
    }
}

impl BoardsConfig {
    /// Checks every board.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        let key = "social.boards";
        rule(self.0.len() <= MAX_BOARDS, key, "must be at most 100")?;
        for (name, settings) in &self.0 {
            let compiled = Board::new(name.clone(), settings.clone());
            compiled.map_err(|error| Violation {
                key,
                problem: error.problem,
            })?;
        }
        Ok(())
    }
}
