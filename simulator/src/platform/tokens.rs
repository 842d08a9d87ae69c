//! Access tokens: the two families, who is valid when, and the rules of forced renewal.
//!
//! Answers nobody: [`super::token_calls`] gives tokens out, [`super::door`] has them checked.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::wire::errcode;

/// How long a token is good, unless the settings say otherwise.
const LIFE_SECONDS: u32 = 7200;
/// A stable token is renewed, and a classic one outlives its successor's birth, by this.
const OVERLAP: SignedDuration = SignedDuration::from_secs(300);
/// Forced renewals are this far apart.
const FORCE_SPACING: SignedDuration = SignedDuration::from_secs(30);
const FORCED_PER_DAY: u32 = 20;

/// All tokens since the last reset.
#[derive(Default)]
pub(crate) struct Tokens {
    issued: Vec<Issued>,
    /// Which of them `/cgi-bin/token` gave last.
    classic: Option<usize>,
    /// Which of them `/cgi-bin/stable_token` gives.
    stable: Option<usize>,
    forced: Forced,
}

struct Issued {
    token: String,
    expires: Timestamp,
    /// From when on it is not the latest.
    superseded: Option<Timestamp>,
}

#[derive(Default)]
struct Forced {
    last: Option<Timestamp>,
    day: Option<Date>,
    count: u32,
}

/// How long a token is good that is given out now.
#[derive(Clone, Copy)]
pub(crate) struct Life(SignedDuration);

impl Life {
    /// As the settings say; none: as WeChat's tokens.
    pub(crate) fn of(seconds: Option<u32>) -> Self {
        let seconds = seconds.unwrap_or(LIFE_SECONDS);
        Self(SignedDuration::from_secs(seconds.into()))
    }
}

/// A token that is given out.
pub(crate) struct Given {
    pub(crate) token: String,
    pub(crate) expires_in: i64,
}

/// What `GET /_sim/tokens` shows of a family.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    token: String,
    expires: Timestamp,
    is_valid: bool,
}

impl Tokens {
    /// Whether a call with this token may go on.
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

    /// A new classic token; the one before lives on for the overlap.
    pub(crate) fn classic(&mut self, now: Timestamp, life: Life) -> Given {
        if let Some(last) = self.classic {
            self.supersede(last, later(now, OVERLAP));
        }
        let index = self.issue(now, life);
        self.classic = Some(index);
        self.give(index, now)
    }

    /// The stable token, or a new one when less than the overlap is left of it.
    pub(crate) fn stable(&mut self, now: Timestamp, life: Life) -> Given {
        let index = match self.stable {
            Some(index) if self.issued[index].left(now) > OVERLAP => index,
            _ => self.issue(now, life),
        };
        self.stable = Some(index);
        self.give(index, now)
    }

    /// A new stable token in place of the one before, which is dead at once; too soon after the last
    /// time, the one of now.
    pub(crate) fn forced(&mut self, now: Timestamp, life: Life) -> Result<Given, i64> {
        let today = Offset::constant(8).to_datetime(now).date();
        if self.forced.day != Some(today) {
            self.forced.day = Some(today);
            self.forced.count = 0;
        }
        let too_soon = self
            .forced
            .last
            .is_some_and(|last| now.duration_since(last).abs() < FORCE_SPACING);
        if too_soon {
            return Ok(self.stable(now, life));
        }
        if self.forced.count >= FORCED_PER_DAY {
            return Err(errcode::DAY_QUOTA);
        }
        self.forced.count += 1;
        self.forced.last = Some(now);
        if let Some(last) = self.stable {
            self.supersede(last, now);
        }
        let index = self.issue(now, life);
        self.stable = Some(index);
        Ok(self.give(index, now))
    }

    /// Makes every token useless. A `sticky` stable one is still given out, as WeChat has been seen to
    /// do; only force replaces it.
    pub(crate) fn invalidate(&mut self, sticky: bool, now: Timestamp) {
        for index in 0..self.issued.len() {
            self.supersede(index, now);
        }
        self.classic = None;
        if !sticky {
            self.stable = None;
        }
    }

    pub(crate) fn shown(&self, now: Timestamp) -> [Option<Shown>; 2] {
        [self.classic, self.stable].map(|index| {
            let issued = self.issued.get(index?)?;
            Some(Shown {
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

    fn issue(&mut self, now: Timestamp, life: Life) -> usize {
        let number = self.issued.len();
        // The time sets the tokens of two runs apart.
        let seed = format!("access_token:{number}:{}", now.as_nanosecond());
        let (head, tail) = (
            digest(&SHA256, seed.as_bytes()),
            digest(&SHA256, format!("{seed}:").as_bytes()),
        );
        let token = [head.as_ref(), tail.as_ref()].concat();
        self.issued.push(Issued {
            token: format!("{number}_{}", URL_SAFE_NO_PAD.encode(token)),
            expires: later(now, life.0),
            superseded: None,
        });
        number
    }

    fn supersede(&mut self, index: usize, from: Timestamp) {
        let superseded = &mut self.issued[index].superseded;
        *superseded = Some(superseded.map_or(from, |before| before.min(from)));
    }

    fn give(&self, index: usize, now: Timestamp) -> Given {
        let issued = &self.issued[index];
        Given {
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
