//! The state of the platform APIs: tokens, risk ranks, risky words, analysis settings, hosted data, friends and groups.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::analysis::Analysis;
use super::cheats::Cheat;
use super::groups::Groups;
use super::subscriptions::Subscriptions;
use super::text_check::Word;
use super::tokens::Tokens;
use crate::SimulatorSettings;
use crate::players::openid;

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
    pub(crate) groups: Groups,
    pub(crate) subscriptions: Subscriptions,
}

impl PlatformState {
    /// The state at the start: the friends of the settings, with their hosted data.
    pub(crate) fn new(settings: &SimulatorSettings) -> Self {
        let id = |name: &str| openid(&settings.app_id, name);
        let pairs = settings.friends.iter();
        let storage = settings.hosted.iter();
        Self {
            friends: pairs.map(|(a, b)| pair(id(a), id(b))).collect(),
            storage: storage
                .map(|(name, pairs)| (id(name), pairs.clone()))
                .collect(),
            ..Self::default()
        }
    }
}

/// A pair of friends, the smaller openid first.
pub(crate) fn pair(a: String, b: String) -> (String, String) {
    if a < b { (a, b) } else { (b, a) }
}
