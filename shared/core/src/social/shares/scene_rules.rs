//! The rules of a scene, which the configuration and `PUT /admin/shares/{scene}` both pass.

use jiff::Timestamp;
use serde::Deserialize;

use super::config::{ShareScene, ShareVariant};
use super::scene_name::is_name;

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

/// A scene as written, not checked yet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Written {
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
