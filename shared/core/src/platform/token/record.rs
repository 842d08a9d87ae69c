//! The document of the access token and its rules: when a token is renewed, when a forced renewal is
//! allowed, how long to back off after a failure. No I/O.

use std::sync::Arc;
use std::time::Duration;

use avalon_wechat::{AccessToken, AppId, ErrorClass, FetchedToken};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::Timing;
use crate::storage::documents::DocumentError;
use crate::storage::keyring::{Keyring, KeyringError};

/// WeChat's limits on forced renewals.
const FORCED_PER_DAY: u32 = 20;
const FORCE_SPACING: SignedDuration = SignedDuration::from_secs(30);

/// A token with its times.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) token: AccessToken,
    pub(super) renew_at: Timestamp,
    pub(super) ends_at: Timestamp,
}

impl Held {
    /// `requested_at` is when the call began, so that the expiry is never later than WeChat's.
    pub(super) fn new(fetched: &FetchedToken, requested_at: Timestamp, timing: &Timing) -> Self {
        let life = fetched.expires_in;
        let early = timing.renew_before + timing.jitter.mul_f64(fastrand::f64());
        Self {
            token: fetched.token.clone(),
            renew_at: later(requested_at, life.saturating_sub(early).max(timing.spacing)),
            ends_at: later(requested_at, life),
        }
    }

    pub(super) fn left(&self, now: Timestamp) -> Duration {
        // Zero after it has expired.
        Duration::try_from(self.ends_at.duration_since(now)).unwrap_or_default()
    }
}

/// The document.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    token: Option<SealedToken>,
    /// SHA-256 of the token that WeChat refused last, until another one is stored. It may be that of the
    /// stored one, if WeChat issues no other.
    refused: Option<String>,
    forced: Forced,
    rest: Option<Rest>,
}

/// A token in its stored form.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SealedToken {
    key_id: String,
    sealed: String,
    renew_at: Timestamp,
    ends_at: Timestamp,
}

#[derive(Default, Serialize, Deserialize)]
struct Forced {
    day: Option<Date>,
    count: u32,
    last: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Rest {
    until: Timestamp,
    class: ErrorClass,
}

/// The longest back-off.
const MAX_REST: SignedDuration = SignedDuration::from_secs(30);

impl Record {
    /// Parses a document. An unreadable one counts as empty: a token can be fetched.
    pub(super) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| {
            tracing::warn!("cannot parse the stored access token, fetching another one");
            Self::default()
        })
    }

    pub(super) fn write(&self) -> Result<String, DocumentError> {
        serde_json::to_string(self).map_err(|error| DocumentError::Refused(error.to_string()))
    }

    /// The class of the failure, while backing off.
    pub(super) fn backing_off(&self, now: Timestamp) -> Option<ErrorClass> {
        let rest = self.rest.as_ref()?;
        let left = rest.until.duration_since(now);
        // An end later than possible is of a process whose clock is ahead.
        (left.is_positive() && left <= MAX_REST).then_some(rest.class)
    }

    /// Records a failure; one that an operator has to repair is retried slowly.
    pub(super) fn back_off(&mut self, class: ErrorClass, now: Timestamp) {
        let rest = match class {
            ErrorClass::Retry => Duration::from_secs(1),
            ErrorClass::RateLimited => Duration::from_secs(15),
            _ => MAX_REST.unsigned_abs(),
        };
        self.rest = Some(Rest {
            until: later(now, rest),
            class,
        });
    }

    pub(super) fn has_refused(&self, token: &AccessToken) -> bool {
        self.refused.as_deref() == Some(digest_of(token).as_str())
    }

    /// Removes the stored token, which WeChat refused.
    pub(super) fn refuse(&mut self, token: &AccessToken) {
        self.token = None;
        self.refused = Some(digest_of(token));
    }

    /// Stores a token. If it was refused before, it remains marked as refused.
    pub(super) fn store(&mut self, token: &AccessToken, sealed: SealedToken) {
        if !self.has_refused(token) {
            self.refused = None;
        }
        self.token = Some(sealed);
        self.rest = None;
    }

    /// Whether a forced renewal is left for the day, and the last one is long enough ago.
    pub(super) fn may_force(&self, now: Timestamp) -> bool {
        let is_close = self
            .forced
            .last
            .is_some_and(|last| now.duration_since(last) < FORCE_SPACING);
        !is_close && self.forced.count_on(day_at_wechat(now)) < FORCED_PER_DAY
    }

    /// Counts a forced renewal; returns `false` if it is not allowed.
    pub(super) fn take_force(&mut self, now: Timestamp) -> bool {
        if !self.may_force(now) {
            return false;
        }
        let today = day_at_wechat(now);
        self.forced = Forced {
            day: Some(today),
            count: self.forced.count_on(today) + 1,
            last: Some(now),
        };
        true
    }
}

impl Forced {
    fn count_on(&self, day: Date) -> u32 {
        match self.day {
            Some(counted) if counted == day => self.count,
            _ => 0,
        }
    }
}

fn day_at_wechat(now: Timestamp) -> Date {
    Offset::constant(8).to_datetime(now).date()
}

/// Seals and opens tokens.
pub(super) struct TokenSealer {
    keyring: Arc<Keyring>,
    /// Associated data, which bind a token to its app.
    aad: String,
}

impl TokenSealer {
    pub(super) fn new(keyring: Arc<Keyring>, app_id: &AppId) -> Self {
        let aad = format!("wechat.access_token:{app_id}");
        Self { keyring, aad }
    }

    pub(super) fn seal(&self, held: &Held) -> Result<SealedToken, KeyringError> {
        let token = held.token.expose_secret().as_bytes();
        let sealed = self.keyring.seal(token, self.aad.as_bytes())?;
        Ok(SealedToken {
            key_id: sealed.key_id,
            sealed: STANDARD.encode(sealed.ciphertext),
            renew_at: held.renew_at,
            ends_at: held.ends_at,
        })
    }

    /// Opens the stored token; `None` also if its key is gone, since another token can be fetched.
    pub(super) fn open(&self, record: &Record) -> Option<Held> {
        let stored = record.token.as_ref()?;
        let sealed = STANDARD.decode(&stored.sealed).ok()?;
        let opened = self
            .keyring
            .open(&stored.key_id, &sealed, self.aad.as_bytes());
        let opened = opened
            .inspect_err(|error| tracing::warn!(%error, "cannot open the stored access token"))
            .ok()?;
        let token = std::str::from_utf8(opened.expose_secret()).ok()?;
        Some(Held {
            token: AccessToken::new(SecretString::from(token)),
            renew_at: stored.renew_at,
            ends_at: stored.ends_at,
        })
    }
}

fn digest_of(token: &AccessToken) -> String {
    hex::encode(digest(&SHA256, token.expose_secret().as_bytes()))
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::keyring::EncryptionKey;

    fn token(text: &str) -> AccessToken {
        AccessToken::new(text.into())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn held(seconds: u64) -> Held {
        let fetched = FetchedToken {
            token: token("secret-token"),
            expires_in: Duration::from_secs(seconds),
        };
        let timing = Timing::for_calls_of(Duration::from_secs(4));
        Held::new(&fetched, at("2026-01-10T00:00:00Z"), &timing)
    }

    fn sealer(key: u8, app_id: &str) -> TokenSealer {
        let key = EncryptionKey::from_bytes([key; 32]);
        let ring = Arc::new(Keyring::new(&key, &[]).unwrap());
        TokenSealer::new(ring, &AppId::new(app_id))
    }

    #[test]
    fn renewal_is_five_to_six_minutes_before_expiry() {
        let renewals: Vec<_> = (0..50).map(|_| held(7200).renew_at).collect();
        assert!(renewals.iter().all(|time| {
            (at("2026-01-10T01:54:00Z")..=at("2026-01-10T01:55:00Z")).contains(time)
        }));
        assert!(renewals.iter().any(|time| *time != renewals[0]));
    }

    #[test]
    fn renewals_of_short_lived_tokens_are_spaced() {
        for left in [310, 60, 1] {
            assert_eq!(held(left).renew_at, at("2026-01-10T00:00:15Z"));
        }
    }

    #[test]
    fn forced_renewals_are_20_per_beijing_day_and_30_s_apart() {
        let mut record = Record::default();
        let noon = at("2026-01-10T04:00:00Z");
        let after = |seconds| later(noon, Duration::from_secs(seconds));
        assert!(record.may_force(noon) && record.may_force(noon));
        assert!(record.take_force(noon));
        assert!(!record.may_force(after(29)) && !record.take_force(after(29)));
        for times in 1..20 {
            assert!(record.take_force(after(times * 30)), "{times}");
        }
        assert!(!record.take_force(after(3600)));
        assert!(
            record.take_force(at("2026-01-10T16:00:00Z")),
            "the next day"
        );
    }

    #[test]
    fn back_off_of_a_clock_that_was_ahead_is_ignored() {
        let (mut record, now) = (Record::default(), Timestamp::now());
        record.back_off(ErrorClass::Misconfigured, now);
        assert!(record.backing_off(now).is_some());
        assert!(
            record
                .backing_off(later(now, MAX_REST.unsigned_abs()))
                .is_none()
        );
        record.back_off(ErrorClass::Retry, later(now, Duration::from_secs(3600)));
        assert!(record.backing_off(now).is_none());
    }

    #[test]
    fn refused_token_is_remembered_until_another_is_stored() {
        let mut record = Record::default();
        record.refuse(&token("a"));
        assert!(record.has_refused(&token("a")) && !record.has_refused(&token("b")));
        let text = record.write().unwrap();
        assert!(Record::read(&text).has_refused(&token("a")));
        let sealed = sealer(1, "wx1").seal(&held(7200)).unwrap();
        record.store(&token("a"), sealed.clone());
        assert!(record.has_refused(&token("a")), "WeChat issues no other");
        record.store(&token("b"), sealed);
        assert!(!record.has_refused(&token("a")));
    }

    #[test]
    fn back_off_is_longer_if_an_operator_must_act() {
        let mut record = Record::default();
        let now = at("2026-01-10T00:00:00Z");
        let after = |seconds| later(now, Duration::from_secs(seconds));
        record.back_off(ErrorClass::Retry, now);
        assert_eq!(record.backing_off(now), Some(ErrorClass::Retry));
        assert_eq!(record.backing_off(after(1)), None);
        record.back_off(ErrorClass::Misconfigured, now);
        let record = Record::read(&record.write().unwrap());
        assert_eq!(
            record.backing_off(after(29)),
            Some(ErrorClass::Misconfigured)
        );
        assert_eq!(record.backing_off(after(30)), None);
    }

    #[test]
    fn document_hides_the_token_and_is_bound_to_app_and_key() {
        let own = sealer(1, "wx1");
        let mut record = Record::default();
        let held = held(7200);
        record.store(&held.token, own.seal(&held).unwrap());
        let text = record.write().unwrap();
        assert!(!text.contains("secret-token"), "{text}");
        let record = Record::read(&text);
        assert_eq!(own.open(&record).unwrap().token, token("secret-token"));
        for other in [sealer(1, "wx2"), sealer(2, "wx1")] {
            assert!(other.open(&record).is_none());
        }
    }

    #[test]
    fn unreadable_document_counts_as_empty() {
        for text in ["", "{", r#"{"token":5}"#] {
            assert!(Record::read(text).token.is_none());
        }
    }
}
