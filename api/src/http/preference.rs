//! The `Prefer` header (RFC 7240): how long a request is held for its job.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};

/// A preference of the client. Unknown ones are ignored, as the RFC requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preference {
    /// No preference that is known here.
    None,
    /// Respond immediately, with the job.
    RespondAsync,
    /// Hold the request for this long.
    Wait(Duration),
}

impl Preference {
    /// Reads the header; `wait` is limited to `max`.
    pub(crate) fn of(headers: &HeaderMap, max: Duration) -> Self {
        let mut found = Self::None;
        let values = headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')) {
            let preference = preference.split(';').next().unwrap_or_default().trim();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                // Together, `wait` limits how long to hold before the asynchronous response.
                "respond-async" if found == Self::None => found = Self::RespondAsync,
                "wait" => {
                    if let Ok(seconds) = value.trim().trim_matches('"').parse::<u64>() {
                        found = Self::Wait(Duration::from_secs(seconds).min(max));
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// How long to hold the request.
    pub(crate) fn hold(self, default: Duration) -> Duration {
        match self {
            Self::None => default,
            Self::RespondAsync => Duration::ZERO,
            Self::Wait(time) => time,
        }
    }

    /// The value of `Preference-Applied`.
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
    fn prefer_header_is_parsed() {
        let max = Duration::from_secs(30);
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", HeaderValue::from_static(value));
            Preference::of(&headers, max)
        };
        assert_eq!(Preference::of(&HeaderMap::new(), max), Preference::None);
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
        assert_eq!(of("wait=1000000"), Preference::Wait(max));
        assert_eq!(of("wait=soon"), Preference::None);
        assert_eq!(of("wait=0").hold(max), Duration::ZERO);
    }
}
