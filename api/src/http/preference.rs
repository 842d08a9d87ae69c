//! The `Prefer` header (RFC 7240): how long a client wants to be held for its job.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};

/// What a client prefers, as far as we know such things. Others are ignored, as the RFC wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preference {
    /// Nothing said.
    None,
    /// Answer at once, with the job.
    RespondAsync,
    /// Hold the request this long.
    Wait(Duration),
}

impl Preference {
    pub(crate) fn of(headers: &HeaderMap, most: Duration) -> Self {
        let mut found = Self::None;
        let values = headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')) {
            let preference = preference.split(';').next().unwrap_or_default().trim();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                // Said together, `wait` bounds how long to hold before answering asynchronously.
                "respond-async" if found == Self::None => found = Self::RespondAsync,
                "wait" => {
                    if let Ok(seconds) = value.trim().trim_matches('"').parse::<u64>() {
                        found = Self::Wait(Duration::from_secs(seconds).min(most));
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// How long to hold.
    pub(crate) fn hold(self, default: Duration) -> Duration {
        match self {
            Self::None => default,
            Self::RespondAsync => Duration::ZERO,
            Self::Wait(time) => time,
        }
    }

    /// `Preference-Applied`: what was done of what was preferred.
    pub(crate) fn applied(self) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::RespondAsync => Some(HeaderValue::from_static("respond-async")),
            Self::Wait(time) => HeaderValue::from_str(&format!("wait={}", time.as_secs())).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_read_as_the_rfc_says() {
        let most = Duration::from_secs(30);
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", HeaderValue::from_static(value));
            Preference::of(&headers, most)
        };
        assert_eq!(Preference::of(&HeaderMap::new(), most), Preference::None);
        assert_eq!(of("respond-async"), Preference::RespondAsync);
        assert_eq!(
            of("Respond-Async; foo=1, handling=lenient"),
            Preference::RespondAsync
        );
        assert_eq!(of("wait=10"), Preference::Wait(Duration::from_secs(10)));
        assert_eq!(
            of("respond-async, wait=\"2\""),
            Preference::Wait(Duration::from_secs(2))
        );
        assert_eq!(
            of("wait=2, respond-async"),
            Preference::Wait(Duration::from_secs(2))
        );
        assert_eq!(of("wait=1000000"), Preference::Wait(most));
        assert_eq!(of("wait=soon"), Preference::None);
        assert_eq!(of("wait=0").hold(most), Duration::ZERO);
    }
}
