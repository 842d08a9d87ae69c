//! Chat groups: their members, and the cards that were sent to them.
//!
//! WeChat has no server API for groups. A client that is opened by a card learns the group's id from data that are
//! encrypted under the player's session key; only members see the card.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

/// The groups by name.
#[derive(Default)]
pub(crate) struct Groups(BTreeMap<String, Group>);

/// A group.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group {
    /// WeChat's id of the group in this app.
    #[serde(rename = "openGId")]
    pub(crate) open_gid: String,
    /// Openids.
    pub(crate) members: BTreeSet<String>,
    pub(crate) cards: Vec<Card>,
}

/// A card that a member sent to a group.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Card {
    /// From 1.
    pub(crate) id: usize,
    /// Openid of the sender.
    pub(crate) from: String,
    pub(crate) title: String,
    pub(crate) query: String,
    /// Openids of those who opened it.
    pub(crate) opened: BTreeSet<String>,
}

impl Groups {
    /// Creates a group, or replaces its members; cards stay.
    pub(crate) fn put(&mut self, app_id: &str, name: &str, members: BTreeSet<String>) -> &Group {
        let group = self.0.entry(name.to_owned()).or_insert_with(|| Group {
            open_gid: open_gid(app_id, name),
            members: BTreeSet::new(),
            cards: Vec::new(),
        });
        group.members = members;
        group
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Group> {
        self.0.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Group> {
        self.0.get_mut(name)
    }

    pub(crate) fn all(&self) -> &BTreeMap<String, Group> {
        &self.0
    }
}

impl Group {
    /// Sends a card; returns it.
    pub(crate) fn send(&mut self, from: &str, title: String, query: String) -> &Card {
        let id = self.cards.len() + 1;
        self.cards.push(Card {
            id,
            from: from.to_owned(),
            title,
            query,
            opened: BTreeSet::new(),
        });
        &self.cards[id - 1]
    }

    /// Opens a card for a member; returns its query.
    pub(crate) fn open(&mut self, id: usize, openid: &str) -> Option<String> {
        let card = self.cards.iter_mut().find(|card| card.id == id)?;
        card.opened.insert(openid.to_owned());
        Some(card.query.clone())
    }
}

/// Returns the id of a group in this app, the same in every run: `tG` and 26 characters.
fn open_gid(app_id: &str, name: &str) -> String {
    let seed = format!("opengid:{app_id}:{name}");
    let mut id = URL_SAFE_NO_PAD.encode(digest(&SHA256, seed.as_bytes()));
    id.insert_str(0, "tG");
    id.truncate(28);
    id
}
