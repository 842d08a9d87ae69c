//! What the platform remembers beside players: tokens, ranks, words, and how its figures are.

use std::collections::HashMap;

use super::analysis::Analysis;
use super::text_check::Word;
use super::tokens::Tokens;

/// What the platform remembers beside players.
#[derive(Default)]
pub(crate) struct PlatformState {
    pub(crate) tokens: Tokens,
    /// By openid; who is not in it has rank 0.
    pub(crate) ranks: HashMap<String, u8>,
    /// What texts are judged by.
    pub(crate) words: Vec<Word>,
    pub(crate) analysis: Analysis,
}
