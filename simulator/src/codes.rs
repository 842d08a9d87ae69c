//! Sign-in codes: their syntax, and the state of minted, single-use and flaky codes.
//!
//! Responses are built in [`crate::code2session`].

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};

use crate::players::is_name;
use crate::wire::errcode;

/// Validity of a minted code.
const MINTED_LIFETIME: SignedDuration = SignedDuration::from_mins(5);

/// Maximum delay of a `sim-slow-…` code.
const MAX_DELAY_MS: u64 = 60_000;

/// The behaviour that a `js_code` requests from the simulator.
///
/// A player's name has 1 to 64 ASCII letters, digits, `_`, `.` and `-`; a nonce has the same
/// without `-`. A name whose first word (up to the first `-`) is a keyword below is not reachable
/// as `sim-<name>`: a malformed special code returns 40029 and never signs in a player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsCode {
    /// Any code without the prefix `sim-`: valid once, within five minutes of being minted.
    Minted,
    /// `sim-<name>`: always valid, any number of times.
    Player {
        /// The player's name.
        name: String,
    },
    /// `sim-once-<name>-<nonce>`: valid once, then 40163. Never expires.
    Once {
        /// The player's name.
        name: String,
    },
    /// `sim-error-<errcode>`: returns that errcode, for example `sim-error--1`.
    Error(
        /// The errcode to return.
        i64,
    ),
    /// `sim-flaky-<n>-<name>`: returns -1 the first n times and is valid from then on.
    Flaky {
        /// Number of failures before the first success.
        failures: u32,
        /// The player's name.
        name: String,
    },
    /// `sim-slow-<ms>-<name>`: valid, after a delay in milliseconds (at most 60,000).
    Slow {
        /// Delay before the response.
        delay: Duration,
        /// The player's name.
        name: String,
    },
    /// `sim-lost-<name>-<nonce>`: is spent but never answered; the connection is held for up to 60
    /// s and then reset. Repeating it returns 40163.
    Lost {
        /// The player's name.
        name: String,
    },
    /// `sim-reset-<name>-<nonce>`: is spent and the connection reset without a response. Repeating
    /// it returns 40163.
    Reset {
        /// The player's name.
        name: String,
    },
    /// `sim-http-<status>` (200 to 599): returns that HTTP status with an HTML page.
    Http(
        /// The HTTP status to return.
        StatusCode,
    ),
    /// `sim-empty`: an empty 200 of type `text/html`.
    Empty,
    /// `sim-truncated`: truncated JSON.
    Truncated,
    /// Any other code with the prefix `sim-`: 40029.
    Unknown,
}

impl JsCode {
    /// Parses a code.
    pub fn parse(code: &str) -> Self {
        match code.strip_prefix("sim-") {
            None => Self::Minted,
            Some(special) => Self::parse_special(special).unwrap_or(Self::Unknown),
        }
    }

    fn parse_special(special: &str) -> Option<Self> {
        let (keyword, rest) = special.split_once('-').unwrap_or((special, ""));
        Some(match keyword {
            "once" => Self::Once {
                name: name_before_nonce(rest)?,
            },
            "lost" => Self::Lost {
                name: name_before_nonce(rest)?,
            },
            "reset" => Self::Reset {
                name: name_before_nonce(rest)?,
            },
            "error" => Self::Error(rest.parse().ok()?),
            "flaky" => {
                let (failures, name) = rest.split_once('-')?;
                Self::Flaky {
                    failures: failures.parse().ok()?,
                    name: valid_name(name)?,
                }
            }
            "slow" => {
                let (ms, name) = rest.split_once('-')?;
                let ms = ms.parse().ok().filter(|ms| *ms <= MAX_DELAY_MS)?;
                Self::Slow {
                    delay: Duration::from_millis(ms),
                    name: valid_name(name)?,
                }
            }
            "http" => {
                let status = rest
                    .parse()
                    .ok()
                    .filter(|status| (200..600).contains(status))?;
                Self::Http(StatusCode::from_u16(status).ok()?)
            }
            "empty" => (special == keyword).then_some(Self::Empty)?,
            "truncated" => (special == keyword).then_some(Self::Truncated)?,
            _ => Self::Player {
                name: valid_name(special)?,
            },
        })
    }
}

fn valid_name(name: &str) -> Option<String> {
    is_name(name).then(|| name.to_owned())
}

/// Returns the name in `<name>-<nonce>`, where only the name may contain a `-`.
fn name_before_nonce(text: &str) -> Option<String> {
    let (name, nonce) = text.rsplit_once('-')?;
    if is_name(nonce) {
        valid_name(name)
    } else {
        None
    }
}

/// Minted codes, spent single-use codes and failure counts of flaky ones.
#[derive(Default)]
pub(crate) struct CodeBook {
    minted: HashMap<String, Minted>,
    spent: HashSet<String>,
    failures: HashMap<String, u32>,
}

struct Minted {
    name: String,
    minted_at: Timestamp,
}

impl CodeBook {
    /// Mints a code as `wx.login` returns it: 32 characters, for one use within five minutes.
    pub(crate) fn mint(&mut self, name: &str, now: Timestamp) -> String {
        let count = self.minted.len();
        let seed = format!("code:{name}:{count}:{}", Timestamp::now().as_nanosecond());
        let mut code = URL_SAFE_NO_PAD.encode(digest(&SHA256, seed.as_bytes()));
        // Real codes begin with 0; it also rules out the prefix `sim-`.
        code.insert(0, '0');
        code.truncate(32);
        self.minted.insert(
            code.clone(),
            Minted {
                name: name.to_owned(),
                minted_at: now,
            },
        );
        code
    }

    /// Spends a minted code and returns the player's name, or the errcode. An expired code is
    /// unknown even if it was used before.
    pub(crate) fn spend_minted(&mut self, code: &str, now: Timestamp) -> Result<String, i64> {
        let minted = self.minted.get(code).ok_or(errcode::INVALID_CODE)?;
        if now.duration_since(minted.minted_at) >= MINTED_LIFETIME {
            return Err(errcode::INVALID_CODE);
        }
        let name = minted.name.clone();
        self.spend(code)?;
        Ok(name)
    }

    /// Spends a single-use code; returns the errcode if it is already spent.
    pub(crate) fn spend(&mut self, code: &str) -> Result<(), i64> {
        if self.spent.insert(code.to_owned()) {
            Ok(())
        } else {
            Err(errcode::CODE_USED)
        }
    }

    /// Counts a failure of `code`; returns false once it has failed `times` times.
    pub(crate) fn fail(&mut self, code: &str, times: u32) -> bool {
        let failed = self.failures.entry(code.to_owned()).or_default();
        let fails = *failed < times;
        if fails {
            *failed += 1;
        }
        fails
    }

    /// Returns the numbers of minted and of spent codes.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.minted.len(), self.spent.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> String {
        name.to_owned()
    }

    #[test]
    fn codes_parse_as_documented() {
        let cases = [
            ("0abc", JsCode::Minted),
            (
                "sim-alice",
                JsCode::Player {
                    name: name("alice"),
                },
            ),
            (
                "sim-alice-2",
                JsCode::Player {
                    name: name("alice-2"),
                },
            ),
            (
                "sim-once-alice-2-n1",
                JsCode::Once {
                    name: name("alice-2"),
                },
            ),
            ("sim-error-40029", JsCode::Error(40029)),
            ("sim-error--1", JsCode::Error(-1)),
            (
                "sim-flaky-2-al-ice",
                JsCode::Flaky {
                    failures: 2,
                    name: name("al-ice"),
                },
            ),
            (
                "sim-slow-60000-a",
                JsCode::Slow {
                    delay: Duration::from_secs(60),
                    name: name("a"),
                },
            ),
            ("sim-lost-a-1", JsCode::Lost { name: name("a") }),
            ("sim-reset-a-1", JsCode::Reset { name: name("a") }),
            ("sim-http-502", JsCode::Http(StatusCode::BAD_GATEWAY)),
            ("sim-empty", JsCode::Empty),
            ("sim-truncated", JsCode::Truncated),
        ];
        for (code, expected) in cases {
            assert_eq!(JsCode::parse(code), expected, "{code}");
        }
    }

    #[test]
    fn malformed_special_code_is_unknown() {
        let wrong = [
            "sim-",
            "sim-a b",
            "sim-once",
            "sim-once-a",
            "sim-once-a-",
            "sim-once--n",
            "sim-error-x",
            "sim-flaky-2",
            "sim-flaky-x-a",
            "sim-slow-60001-a",
            "sim-slow-5",
            "sim-lost-a",
            "sim-reset",
            "sim-http-99",
            "sim-http-101",
            "sim-http-600",
            "sim-empty-a",
            "sim-truncated-",
        ];
        for code in wrong {
            assert_eq!(JsCode::parse(code), JsCode::Unknown, "{code}");
        }
    }
}
