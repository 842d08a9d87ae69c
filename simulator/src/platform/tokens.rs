//! Access tokens: the two families, their validity, and the rules of forced renewal.
//!
//! [`super::token_calls`] issues tokens, [`super::ingress`] checks them.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::wire::errcode;

/// Default lifetime of a token, in seconds.
const DEFAULT_LIFETIME_SECONDS: u32 = 7200;
/// Remaining life at which a stable token is replaced, and time for which a superseded classic
/// token stays valid.
const OVERLAP: SignedDuration = SignedDuration::from_secs(300);
/// Minimum time between forced renewals.
const MIN_FORCE_SPACING: SignedDuration = SignedDuration::from_secs(30);
const MAX_FORCED_PER_DAY: u32 = 20;

/// All tokens since the last reset.
#[derive(Default)]
pub(crate) struct Tokens {
    issued: Vec<Issued>,
    /// Index of the token that `/cgi-bin/token` issued last.
    classic: Option<usize>,
    /// Index of the token that `/cgi-bin/stable_token` returns.
    stable: Option<usize>,
    forced: Forced,
}

struct Issued {
    token: String,
    expires: Timestamp,
    /// Time from which it is no longer the latest.
    superseded: Option<Timestamp>,
}

#[derive(Default)]
struct Forced {
    last: Option<Timestamp>,
    day: Option<Date>,
    count: u32,
}

/// The lifetime of a token issued now.
#[derive(Clone, Copy)]
pub(crate) struct Lifetime(SignedDuration);

impl Lifetime {
    /// Converts the setting; none means WeChat's lifetime.
    pub(crate) fn of(seconds: Option<u32>) -> Self {
        let seconds = seconds.unwrap_or(DEFAULT_LIFETIME_SECONDS);
        Self(SignedDuration::from_secs(seconds.into()))
    }
}

/// A token as returned to the caller.
pub(crate) struct IssuedToken {
    pub(crate) token: String,
    pub(crate) expires_in: i64,
}

/// The token of a family as returned by `GET /_sim/tokens`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenView {
    token: String,
    expires: Timestamp,
    is_valid: bool,
}

impl Tokens {
    /// Checks that a token is valid; fails with the errcode otherwise.
    pub(crate) fn check(&self, token: &str, now: Timestamp) -> Result<(), i64> {
        if token.is_empty() {
            return Err(errcode::TOKEN_MISSING);
        }
        if !token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        {
            return Err(errcode::INVALID_TOKEN);
        }
        self.issued
            .iter()
            .find(|issued| issued.token == token)
            .ok_or(errcode::TOKEN_NOT_LATEST)?
            .check(now)
    }

    /// Issues a classic token; the previous one stays valid for the overlap.
    pub(crate) fn classic(&mut self, now: Timestamp, lifetime: Lifetime) -> IssuedToken {
        if let Some(last) = self.classic {
            self.supersede(last, later(now, OVERLAP));
        }
        let index = self.issue(now, lifetime);
        self.classic = Some(index);
        self.issued_token(index, now)
    }

    /// Returns the stable token, or issues a new one when no more than the overlap is left of it.
    pub(crate) fn stable(&mut self, now: Timestamp, lifetime: Lifetime) -> IssuedToken {
        let index = match self.stable {
            Some(index) if self.issued[index].left(now) > OVERLAP => index,
            _ => self.issue(now, lifetime),
        };
        self.stable = Some(index);
        self.issued_token(index, now)
    }

    /// Issues a new stable token and invalidates the previous one at once. Within the minimum
    /// spacing it returns the current one instead.
    pub(crate) fn forced(
        &mut self,
        now: Timestamp,
        lifetime: Lifetime,
    ) -> Result<IssuedToken, i64> {
        let today = Offset::constant(8).to_datetime(now).date();
        if self.forced.day != Some(today) {
            self.forced.day = Some(today);
            self.forced.count = 0;
        }
        let too_soon = self
            .forced
            .last
            .is_some_and(|last| now.duration_since(last).abs() < MIN_FORCE_SPACING);
        if too_soon {
            return Ok(self.stable(now, lifetime));
        }
        if self.forced.count >= MAX_FORCED_PER_DAY {
            return Err(errcode::DAY_QUOTA);
        }
        self.forced.count += 1;
        self.forced.last = Some(now);
        if let Some(last) = self.stable {
            self.supersede(last, now);
        }
        let index = self.issue(now, lifetime);
        self.stable = Some(index);
        Ok(self.issued_token(index, now))
    }

    /// Invalidates every token. With `sticky` the stable one is still returned, as WeChat has been
    /// observed to do; only a forced renewal replaces it.
    pub(crate) fn invalidate(&mut self, sticky: bool, now: Timestamp) {
        for index in 0..self.issued.len() {
            self.supersede(index, now);
        }
        self.classic = None;
        if !sticky {
            self.stable = None;
        }
    }

    pub(crate) fn views(&self, now: Timestamp) -> [Option<TokenView>; 2] {
        [self.classic, self.stable].map(|index| {
            let issued = self.issued.get(index?)?;
            Some(TokenView {
                token: issued.token.clone(),
                expires: issued.expires,
                is_valid: issued.check(now).is_ok(),
            })
        })
    }

    pub(crate) fn forced_today(&self) -> u32 {
        self.forced.count
    }

    pub(crate) fn count(&self) -> usize {
        self.issued.len()
    }

    fn issue(&mut self, now: Timestamp, lifetime: Lifetime) -> usize {
        let number = self.issued.len();
        // The time keeps the tokens of two runs distinct.
        let seed = format!("access_token:{number}:{}", now.as_nanosecond());
        let (head, tail) = (
            digest(&SHA256, seed.as_bytes()),
            digest(&SHA256, format!("{seed}:").as_bytes()),
        );
        let token = [head.as_ref(), tail.as_ref()].concat();
        self.issued.push(Issued {
            token: format!("{number}_{}", URL_SAFE_NO_PAD.encode(token)),
            expires: later(now, lifetime.0),
            superseded: None,
        });
        number
    }

    fn supersede(&mut self, index: usize, from: Timestamp) {
        let superseded = &mut self.issued[index].superseded;
        *superseded = Some(superseded.map_or(from, |before| before.min(from)));
    }

    fn issued_token(&self, index: usize, now: Timestamp) -> IssuedToken {
        let issued = &self.issued[index];
        IssuedToken {
            token: issued.token.clone(),
            expires_in: issued.left(now).as_secs(),
        }
    }
}

impl Issued {
    fn left(&self, now: Timestamp) -> SignedDuration {
        self.expires.duration_since(now)
    }

    fn check(&self, now: Timestamp) -> Result<(), i64> {
        if self.superseded.is_some_and(|from| from <= now) {
            Err(errcode::TOKEN_NOT_LATEST)
        } else if self.expires <= now {
            Err(errcode::TOKEN_EXPIRED)
        } else {
            Ok(())
        }
    }
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}
