//! Scenes of shares: what a card looks like, when, and in which variants. Configured (`social.shares`) or set by
//! operators. A scene has no field for a reward, on purpose.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::ids::UserId;
use crate::base::iso_time;
use crate::base::stored_text::stored_as_text;

/// Scenes by name.
pub type ShareScenes = BTreeMap<SceneName, ShareScene>;

/// Stored as the channel of a share whose client named none.
pub(super) const NO_CHANNEL: &str = "none";
/// Maximum size of a scene's own query, in bytes; with what is added, a card's query stays below 1 KiB.
const MAX_QUERY: usize = 768;
/// Maximum length of a title, in characters.
const MAX_TITLE: usize = 128;
/// Maximum length of a picture's address or id, in characters.
const MAX_IMAGE: usize = 1024;
/// Maximum number of channels or variants.
const MAX_PARTS: usize = 16;
const MAX_WEIGHT: u32 = 10_000;
/// Keys of a card's query that are ours.
const OUR_KEYS: [&str; 3] = ["shareId", "inviteCode", "scene"];

/// A text that names no scene, channel or variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 32 letters, digits, hyphens or underscores")]
pub struct InvalidName;

/// The name of a scene: 1 to 32 letters, digits, hyphens or underscores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SceneName(String);

fn is_name(text: &str) -> bool {
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

/// A scene as written, not checked yet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    title: String,
    image_url: String,
    image_url_id: Option<String>,
    query: Option<String>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    channels: Option<Vec<String>>,
    #[serde(default)]
    variants: Vec<ShareVariant>,
}

/// A rule that a scene violates: the field, and what is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{0}: {1}")]
pub struct InvalidScene(&'static str, &'static str);

fn check(holds: bool, field: &'static str, problem: &'static str) -> Result<(), InvalidScene> {
    if holds {
        Ok(())
    } else {
        Err(InvalidScene(field, problem))
    }
}

fn is_plain(text: &str, max_chars: usize) -> bool {
    (1..=max_chars).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// Over plain HTTP, WeChat shows no picture.
fn is_image(text: &str) -> bool {
    is_plain(text, MAX_IMAGE) && (text.starts_with("https://") || !text.contains("://"))
}

/// Pairs of a query that is not percent-decoded, without keys of ours.
fn is_query(text: &str) -> bool {
    let is_pair = |pair: &str| {
        let key = pair.split('=').next().unwrap_or_default();
        !key.is_empty() && !OUR_KEYS.contains(&key)
    };
    (1..=MAX_QUERY).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte))
        && text.split('&').all(is_pair)
}

impl TryFrom<Written> for ShareScene {
    type Error = InvalidScene;

    fn try_from(written: Written) -> Result<Self, InvalidScene> {
        let Written {
            title,
            image_url,
            image_url_id,
            query,
            from,
            to,
            channels,
            variants,
        } = written;
        const TITLE: &str = "1 to 128 characters are needed, without control characters";
        const IMAGE: &str = "must be an https URL or a path of at most 1024 characters";
        const NAMES: &str = "must be different names of 1 to 32 letters, digits, hyphens or underscores, \
                             at most 16";
        check(is_plain(&title, MAX_TITLE), "title", TITLE)?;
        check(is_image(&image_url), "imageUrl", IMAGE)?;
        let is_id = |id: &Option<String>| id.as_deref().is_none_or(|id| is_plain(id, MAX_IMAGE));
        check(
            is_id(&image_url_id),
            "imageUrlId",
            "must have at most 1024 characters",
        )?;
        check(
            query.as_deref().is_none_or(is_query),
            "query",
            "must be pairs such as level=3&mode=a of at most 768 bytes, percent-encoded, without shareId, \
             inviteCode and scene",
        )?;
        let in_order = from.zip(to).is_none_or(|(from, to)| from < to);
        check(in_order, "to", "must be after from")?;
        // Those that the SDK names.
        let channels = channels.unwrap_or_else(|| ["code", "menu"].map(str::to_owned).to_vec());
        check(
            are_names(channels.iter().map(String::as_str)),
            "channels",
            NAMES,
        )?;
        check(
            are_names(variants.iter().map(|it| &*it.name)),
            "variants",
            NAMES,
        )?;
        for variant in &variants {
            check(is_plain(&variant.title, MAX_TITLE), "variants.title", TITLE)?;
            check(is_image(&variant.image_url), "variants.imageUrl", IMAGE)?;
            check(
                is_id(&variant.image_url_id),
                "variants.imageUrlId",
                "must have at most 1024 characters",
            )?;
            check(
                (1..=MAX_WEIGHT).contains(&variant.weight),
                "variants.weight",
                "must be 1 to 10000",
            )?;
        }
        Ok(Self {
            title,
            image_url,
            image_url_id,
            query,
            from,
            to,
            channels,
            variants,
        })
    }
}

fn are_names<'a>(names: impl Iterator<Item = &'a str>) -> bool {
    let names: Vec<&str> = names.collect();
    let different: std::collections::BTreeSet<&str> = names.iter().copied().collect();
    names.len() <= MAX_PARTS
        && different.len() == names.len()
        && names.iter().all(|name| is_name(name))
}

/// How a card looks.
pub(super) struct Look<'a> {
    /// Name of the variant; empty: the scene's own look.
    pub variant: &'a str,
    pub title: &'a str,
    pub image_url: &'a str,
    pub image_url_id: Option<&'a str>,
}

impl ShareScene {
    /// Whether it may be shared at this time.
    pub(super) fn is_active(&self, now: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= now) && self.to.is_none_or(|to| now < to)
    }

    pub(super) fn has_channel(&self, channel: &str) -> bool {
        self.channels.iter().any(|own| own == channel)
    }

    /// Returns the look for this player, who keeps it: each variant draws a number for the player, and the largest
    /// one wins. So another variant takes over players, but moves none between the others.
    pub(super) fn look(&self, name: &SceneName, user: UserId) -> Look<'_> {
        let drawn = |variant: &ShareVariant| {
            let text = format!("{name} {} {user}", variant.name);
            let hash = digest::digest(&digest::SHA256, text.as_bytes());
            let bytes = hash.as_ref().first_chunk().copied().unwrap_or_default();
            #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
            let uniform = ((u64::from_be_bytes(bytes) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
            uniform.ln() / f64::from(variant.weight)
        };
        let best = self
            .variants
            .iter()
            .max_by(|a, b| drawn(a).total_cmp(&drawn(b)));
        match best {
            Some(variant) => Look {
                variant: &variant.name,
                title: &variant.title,
                image_url: &variant.image_url,
                image_url_id: variant.image_url_id.as_deref(),
            },
            None => Look {
                variant: "",
                title: &self.title,
                image_url: &self.image_url,
                image_url_id: self.image_url_id.as_deref(),
            },
        }
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
    fn player_keeps_a_variant_when_another_is_added() {
        let name: SceneName = "invite".parse().unwrap();
        let two = read(&json!({"variants": [variant("a", 1), variant("b", 3)]})).unwrap();
        let three = read(&json!({"variants": [variant("a", 1), variant("b", 3), variant("c", 1)]}));
        let three = three.unwrap();
        let (mut of_a, mut moved) = (0, 0);
        for _ in 0..4000 {
            let user = UserId::new();
            let before = two.look(&name, user).variant;
            assert_eq!(before, two.look(&name, user).variant);
            of_a += u32::from(before == "a");
            match three.look(&name, user).variant {
                "c" => moved += 1,
                after => assert_eq!(before, after),
            }
        }
        assert!(
            (850..1150).contains(&of_a),
            "{of_a} of 4000 have the weight of a quarter"
        );
        assert!(
            (680..920).contains(&moved),
            "{moved} of 4000 have the weight of a fifth"
        );
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
