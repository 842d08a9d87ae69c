//! Validation of profile fields. WeChat authenticates the sender, not the text that a player wrote, and
//! other players see it.

use avalon_wechat::UserProfile;
use url::{Host, Url};

/// WeChat's placeholder for the nickname of an anonymous player.
const ANONYMOUS: &str = "微信用户";
/// Part of the URL of the grey placeholder avatar.
const GREY_AVATAR: &str = "/POgEwh4mIHO4nibH0KlMECNjjGxQUq24ZEaGT4poC6icRiccVGKSyXwibcPq4BWmiaIGuG1icwxaQX6grC9VemZoJ8rg/";

/// Maximum length of a nickname, in characters.
const NICKNAME_CHARS: usize = 64;
/// Maximum length of a country, province or city, in characters.
const PLACE_CHARS: usize = 64;
/// Maximum length of a language, in characters.
const LANGUAGE_CHARS: usize = 16;
/// Maximum length of an avatar's URL, in bytes.
const AVATAR_BYTES: usize = 512;

/// A field is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// WeChat's name of the field.
    pub field: &'static str,
    /// The violated rule.
    pub problem: &'static str,
}

/// The checked fields of a profile. An empty one (also gender 0 and WeChat's placeholders for nickname
/// and avatar) is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// 1 to 64 characters.
    pub nickname: Option<String>,
    /// An https URL.
    pub avatar_url: Option<String>,
    /// 1 male, 2 female.
    pub gender: Option<i16>,
    /// At most 64 characters.
    pub country: Option<String>,
    /// At most 64 characters.
    pub province: Option<String>,
    /// At most 64 characters.
    pub city: Option<String>,
    /// Such as `zh_CN`.
    pub language: Option<String>,
}

/// Hosts, with their subdomains, that avatars may be on; empty for any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AvatarHosts(Vec<String>);

impl AvatarHosts {
    /// Allows these hosts, given in lower case.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Self {
        Self(hosts.into_iter().collect())
    }

    fn allow(&self, host: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|allowed| within(host, allowed))
    }
}

/// Whether a host is a domain or one of its subdomains.
fn within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl Fields {
    /// Checks a profile field by field. An invalid field is left out and reported; the others are used,
    /// since a name that WeChat itself allows must not cost a player the whole profile.
    pub fn check(profile: UserProfile, hosts: &AvatarHosts) -> (Self, Vec<FieldError>) {
        let UserProfile {
            nick_name,
            avatar_url,
            gender,
            country,
            province,
            city,
            language,
            unreadable,
        } = profile;
        let problem = "cannot be read";
        let unreadable = unreadable.into_iter();
        let mut invalid: Vec<_> = unreadable
            .map(|field| FieldError { field, problem })
            .collect();
        let errors = &mut invalid;
        let mut fields = Self {
            nickname: valid(nickname(nick_name), errors),
            avatar_url: valid(avatar(avatar_url, hosts), errors),
            gender: valid(self::gender(gender), errors),
            country: valid(place("country", country), errors),
            province: valid(place("province", province), errors),
            city: valid(place("city", city), errors),
            language: valid(self::language(language), errors),
        };
        if fields.nickname.as_deref() == Some(ANONYMOUS) {
            // Both name and avatar are placeholders then.
            (fields.nickname, fields.avatar_url) = (None, None);
        }
        (fields, invalid)
    }

    /// Whether every field is empty.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Returns the field, or `None` and records the error.
fn valid<T>(checked: Result<Option<T>, FieldError>, errors: &mut Vec<FieldError>) -> Option<T> {
    checked.unwrap_or_else(|error| {
        errors.push(error);
        None
    })
}

fn refused<T>(field: &'static str, problem: &'static str) -> Result<T, FieldError> {
    Err(FieldError { field, problem })
}

fn nickname(text: Option<String>) -> Result<Option<String>, FieldError> {
    let Some(name) = shown("nickName", text, NICKNAME_CHARS)? else {
        return Ok(None);
    };
    if name.chars().all(is_blank) {
        return refused("nickName", "has no visible characters");
    }
    Ok(Some(name))
}

fn place(field: &'static str, text: Option<String>) -> Result<Option<String>, FieldError> {
    shown(field, text, PLACE_CHARS)
}

fn language(text: Option<String>) -> Result<Option<String>, FieldError> {
    let language = shown("language", text, LANGUAGE_CHARS)?;
    let plain = |text: &String| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    if language.as_ref().is_some_and(|text| !plain(text)) {
        return refused("language", "must be a language such as zh_CN");
    }
    Ok(language)
}

fn gender(number: Option<i64>) -> Result<Option<i16>, FieldError> {
    match number {
        None | Some(0) => Ok(None),
        Some(1) => Ok(Some(1)),
        Some(2) => Ok(Some(2)),
        Some(_) => refused("gender", "must be 0, 1 or 2"),
    }
}

/// Checks a text that other players see; trims it.
fn shown(
    field: &'static str,
    text: Option<String>,
    max_chars: usize,
) -> Result<Option<String>, FieldError> {
    let Some(text) = text else { return Ok(None) };
    let text = text.trim();
    if text.chars().count() > max_chars {
        return refused(field, "is too long");
    }
    if text.chars().any(|c| c.is_control() || disturbs(c)) {
        return refused(field, "may not have control or direction characters");
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

/// Invisible characters that change how others are shown: direction marks, embeddings, overrides and
/// isolates, line and paragraph separators, annotations, and zero-width spaces. Joiners (U+200C, U+200D)
/// are allowed: scripts and emoji need them.
fn disturbs(c: char) -> bool {
    matches!(
        c,
        '\u{61c}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
    )
}

/// Characters that show nothing: spaces, joiners, variation selectors, fillers.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{180e}'
                | '\u{200c}'
                | '\u{200d}'
                | '\u{2060}'..='\u{2064}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{ffa0}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Checks an https URL; WeChat's own may be http, and is stored as https.
fn avatar(text: Option<String>, hosts: &AvatarHosts) -> Result<Option<String>, FieldError> {
    const FIELD: &str = "avatarUrl";
    let text = text.as_deref().map(str::trim).unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > AVATAR_BYTES {
        return refused(FIELD, "is too long");
    }
    let Ok(mut url) = Url::parse(text) else {
        return refused(FIELD, "must be a URL");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refused(FIELD, "may not have credentials");
    }
    // An IP address may be anything, even a host in the player's own network.
    let Some(Host::Domain(host)) = url.host() else {
        return refused(FIELD, "must name its host");
    };
    let is_wechat = within(host, "qlogo.cn");
    let plain = url.scheme() == "http" && is_wechat;
    if url.scheme() != "https" && !plain {
        return refused(FIELD, "must be https");
    }
    if url.port().is_some() {
        return refused(FIELD, "may not have a port");
    }
    if !hosts.allow(host) {
        return refused(FIELD, "is on a host that is not allowed");
    }
    if is_wechat && url.path().contains(GREY_AVATAR) {
        return Ok(None);
    }
    if plain && url.set_scheme("https").is_err() {
        return refused(FIELD, "must be https");
    }
    // Escaping may have lengthened it.
    let text = String::from(url);
    if text.len() > AVATAR_BYTES {
        return refused(FIELD, "is too long");
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests;
