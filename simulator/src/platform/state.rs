//! The state of the platform APIs: tokens, risk ranks, risky words and analysis settings.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::analysis::Analysis;
use super::cheats::Cheat;
use super::subscriptions::Subscriptions;
use super::text_check::Word;
use super::tokens::Tokens;

/// The state of the platform APIs. Players and quotas are in [`crate::state`].
#[derive(Default)]
pub(crate) struct PlatformState {
    pub(crate) tokens: Tokens,
    /// Risk ranks by openid; a missing player has rank 0.
    pub(crate) ranks: HashMap<String, u8>,
    /// Players who were observed cheating.
    pub(crate) cheats: Vec<Cheat>,
    /// Words that make a text risky.
    pub(crate) words: Vec<Word>,
    pub(crate) analysis: Analysis,
    /// Cloud storage by openid and key.
    pub(crate) storage: HashMap<String, BTreeMap<String, String>>,
    /// Pairs of friends, the smaller openid first.
    pub(crate) friends: BTreeSet<(String, String)>,
    pub(crate) subscriptions: Subscriptions,
}
