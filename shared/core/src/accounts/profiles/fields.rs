//! What a profile's fields may hold. WeChat vouches for who sends them, not for what a player has
//! written into them, and other players get to see it.

use avalon_wechat::UserProfile;
use url::{Host, Url};

/// How WeChat calls a player whom it does not name.
const ANONYMOUS: &str = "微信用户";
/// What the address of the grey picture of such a player holds.
const GREY_AVATAR: &str = "/POgEwh4mIHO4nibH0KlMECNjjGxQUq24ZEaGT4poC6icRiccVGKSyXwibcPq4BWmiaIGuG1icwxaQX6grC9VemZoJ8rg/";

/// Longest nickname, in characters.
const NICKNAME_CHARS: usize = 64;
/// Longest country, province or city, in characters.
const PLACE_CHARS: usize = 64;
/// Longest language, in characters.
const LANGUAGE_CHARS: usize = 16;
/// Longest address of a picture, in bytes.
const AVATAR_BYTES: usize = 512;

/// A field holds what it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// The field, as WeChat names it.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// What a profile says, each field checked. A field that says nothing (empty, gender 0, what WeChat puts
/// in the place of a name or a picture) is none.
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

/// Hosts that pictures may be on, their subdomains included; none: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AvatarHosts(Vec<String>);

impl AvatarHosts {
    /// These hosts, in lower case.
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
    /// Checks a profile field by field. One that holds what it may not says nothing, and is told apart:
    /// the rest is good all the same, and a name that WeChat itself allows must not cost a player all
    /// of it.
    pub fn check(profile: UserProfile, hosts: &AvatarHosts) -> (Self, Vec<FieldError>) {
        let UserProfile {
            nick_name,
            avatar_url,
            gender,
            country,
            province,
            city,
            language,
        } = profile;
        let mut left_out = Vec::new();
        let left = &mut left_out;
        let mut fields = Self {
            nickname: taken(nickname(nick_name), left),
            avatar_url: taken(avatar(avatar_url, hosts), left),
            gender: taken(self::gender(gender), left),
            country: taken(place("country", country), left),
            province: taken(place("province", province), left),
            city: taken(place("city", city), left),
            language: taken(self::language(language), left),
        };
        if fields.nickname.as_deref() == Some(ANONYMOUS) {
            // Name and picture are both stand-ins then.
            (fields.nickname, fields.avatar_url) = (None, None);
        }
        (fields, left_out)
    }

    /// Whether nothing is said at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a field says; nothing when it may not say it, which is noted.
fn taken<T>(checked: Result<Option<T>, FieldError>, left_out: &mut Vec<FieldError>) -> Option<T> {
    checked.unwrap_or_else(|error| {
        left_out.push(error);
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
        return refused("nickName", "shows nothing");
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

/// A text that other players are shown, without the spaces around it.
fn shown(
    field: &'static str,
    text: Option<String>,
    most: usize,
) -> Result<Option<String>, FieldError> {
    let Some(text) = text else { return Ok(None) };
    let text = text.trim();
    if text.chars().count() > most {
        return refused(field, "is too long");
    }
    if text.chars().any(|c| c.is_control() || disturbs(c)) {
        return refused(
            field,
            "may not have control characters or such as turn the text around",
        );
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

/// Characters that are not seen themselves and change what is seen of others: direction marks, embeddings,
/// overrides and isolates, line and paragraph separators, annotations, and the widthless space in its two
/// forms. The joiners (U+200C, U+200D) are none of them: scripts and emoji need those.
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

/// Characters that leave nothing to be seen: spaces, joiners, variation selectors, fillers.
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

/// An https address; WeChat's own may also come as http, and is kept as https.
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
    // A number in place of a name may be anything, also in the player's own network.
    let Some(Host::Domain(host)) = url.host() else {
        return refused(FIELD, "must name its host");
    };
    let wechats = within(host, "qlogo.cn");
    let plain = url.scheme() == "http" && wechats;
    if url.scheme() != "https" && !plain {
        return refused(FIELD, "must be https");
    }
    if url.port().is_some() {
        return refused(FIELD, "may not have a port");
    }
    if !hosts.allow(host) {
        return refused(FIELD, "is on a host that is not allowed");
    }
    if wechats && url.path().contains(GREY_AVATAR) {
        return Ok(None);
    }
    if plain && url.set_scheme("https").is_err() {
        return refused(FIELD, "must be https");
    }
    // Escaping may have made it longer.
    let text = String::from(url);
    if text.len() > AVATAR_BYTES {
        return refused(FIELD, "is too long");
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests;
