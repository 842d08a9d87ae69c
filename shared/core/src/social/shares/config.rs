//! Scenes of shares: what a card looks like, when, and in which variants. Configured (`social.shares`) or set by
//! operators. A scene has no field for a reward, on purpose.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::scene_rules::Written;
use crate::base::iso_time;

pub use super::scene_name::{InvalidName, SceneName};
pub use super::scene_rules::InvalidScene;

/// Scenes by name.
pub type ShareScenes = BTreeMap<SceneName, ShareScene>;

/// Stored as the channel of a share whose client named none.
pub(super) const NO_CHANNEL: &str = "none";

/// A scene, valid by construction: [`ShareScene::deserialize`] checks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", rename_all = "camelCase")]
pub struct ShareScene {
    /// Title of the card.
    pub title: String,
    /// Picture of the card: an https URL, or a path in the game's package.
    pub image_url: String,
    /// WeChat's id of the reviewed picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_url_id: Option<String>,
    /// The game's own pairs of the card's query, such as `level=3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Start; none: at once.
    #[serde(
        serialize_with = "iso_time::serialize_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub from: Option<Timestamp>,
    /// End, exclusive; none: never.
    #[serde(
        serialize_with = "iso_time::serialize_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub to: Option<Timestamp>,
    /// The places in the game from which it is shared.
    pub channels: Vec<String>,
    /// Other looks of the card, instead of the scene's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<ShareVariant>,
}

/// A look of a scene's card, for a share of the players.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShareVariant {
    /// Its name in the funnel.
    pub name: String,
    /// Title of the card.
    pub title: String,
    /// Picture of the card.
    pub image_url: String,
    /// WeChat's id of the reviewed picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url_id: Option<String>,
    /// Its weight among the variants.
    pub weight: u32,
}

impl ShareScene {
    /// Whether it may be shared at this time.
    pub(super) fn is_active(&self, now: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= now) && self.to.is_none_or(|to| now < to)
    }

    pub(super) fn has_channel(&self, channel: &str) -> bool {
        self.channels.iter().any(|own| own == channel)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(change: &Value) -> Result<ShareScene, String> {
        let mut scene = json!({"title": "Play", "imageUrl": "https://example.com/a.png"});
        for (name, value) in change.as_object().unwrap() {
            scene[name] = value.clone();
        }
        serde_json::from_value(scene).map_err(|error| error.to_string())
    }

    fn variant(name: &str, weight: u32) -> Value {
        json!({"name": name, "title": name, "imageUrl": "images/a.png", "weight": weight})
    }

    #[test]
    fn invalid_fields_are_named() {
        for (name, odd) in [
            ("title", json!("")),
            ("title", json!("a\nb")),
            ("imageUrl", json!("http://example.com/a.png")),
            ("query", json!("inviteCode=x")),
            ("query", json!("a=1&&b=2")),
            ("query", json!("a=礼包")),
            ("query", json!(format!("a={}", "x".repeat(767)))),
            ("channels", json!(["a b"])),
            ("channels", json!(["a", "a"])),
            ("variants", json!([variant("a", 1), variant("a", 1)])),
            ("variants", json!([variant("a", 0)])),
        ] {
            let problem = read(&json!({ name: odd })).unwrap_err();
            assert!(problem.starts_with(name), "{name}: {problem}");
        }
        let to = json!({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"});
        assert!(read(&to).unwrap_err().starts_with("to"));
    }

    #[test]
    fn no_scene_can_grant_a_reward() {
        for field in ["reward", "rewards", "items", "inviter"] {
            let items = json!({ field: [{"productId": "gems", "quantity": 1}] });
            let problem = read(&items).unwrap_err();
            assert!(problem.contains("unknown field"), "{problem}");
        }
    }

    #[test]
    fn scene_is_active_between_its_dates() {
        let dates = json!({"from": "2026-01-01T00:00:00+08:00", "to": "2026-01-02T00:00:00+08:00"});
        let scene = read(&dates).unwrap();
        let at = |time: &str| scene.is_active(time.parse().unwrap());
        assert!(!at("2025-12-31T15:59:59Z") && at("2025-12-31T16:00:00Z"));
        assert!(at("2026-01-01T15:59:59Z") && !at("2026-01-01T16:00:00Z"));
        assert!(read(&json!({})).unwrap().is_active(Timestamp::now()));
    }
}
