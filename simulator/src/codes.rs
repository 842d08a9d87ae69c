//! Sign-in codes: what they mean, which were minted, and which are spent.
//!
//! Does not answer anyone: the API file turns what is found here into an answer.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};

use crate::players::is_name;
use crate::wire::errcode;

/// How long a minted code is good.
const LIFETIME: SignedDuration = SignedDuration::from_mins(5);

/// The longest that `sim-slow-…` waits.
const MAX_DELAY_MS: u64 = 60_000;

/// What a `js_code` asks of the simulator.
///
/// A player's name has 1 to 64 ASCII letters, digits, `_`, `.` and `-`; a nonce has the same without
/// `-`. A name whose first word (up to the first `-`) is one of the words below is not reachable as
/// `sim-<name>`: a special code that is written wrongly answers 40029 and never signs in a player.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsCode {
    /// Any code that does not begin with `sim-`: good once and for five minutes if it was minted.
    Minted,
    /// `sim-<name>`: always good, any number of times.
    Player {
        /// The player.
        name: String,
    },
    /// `sim-once-<name>-<nonce>`: good once, then 40163. Never expires.
    Once {
        /// The player.
        name: String,
    },
    /// `sim-error-<errcode>`: answers that code, `sim-error--1` for example.
    Error(
        /// The code.
        i64,
    ),
    /// `sim-flaky-<n>-<name>`: answers -1 the first n times, and is always good from then on.
    Flaky {
        /// How often it fails.
        failures: u32,
        /// The player.
        name: String,
    },
    /// `sim-slow-<ms>-<name>`: good, after that many milliseconds (at most 60,000).
    Slow {
        /// How long it takes.
        delay: Duration,
        /// The player.
        name: String,
    },
    /// `sim-lost-<name>-<nonce>`: is spent and never answered; the connection is held for up to 60 s
    /// and then reset. Repeated: 40163.
    Lost {
        /// The player.
        name: String,
    },
    /// `sim-reset-<name>-<nonce>`: is spent and the connection reset without an answer. Repeated: 40163.
    Reset {
        /// The player.
        name: String,
    },
    /// `sim-http-<status>` (200 to 599): answers that HTTP status with a page of HTML.
    Http(
        /// The status.
        StatusCode,
    ),
    /// `sim-empty`: an empty 200 of type `text/html`.
    Empty,
    /// `sim-truncated`: JSON that breaks off.
    Truncated,
    /// Begins with `sim-` and is none of these: 40029.
    Unknown,
}

impl JsCode {
    /// Reads a code.
    pub fn parse(code: &str) -> Self {
        match code.strip_prefix("sim-") {
            None => Self::Minted,
            Some(wish) => Self::parse_wish(wish).unwrap_or(Self::Unknown),
        }
    }

    fn parse_wish(wish: &str) -> Option<Self> {
        let (word, rest) = wish.split_once('-').unwrap_or((wish, ""));
        Some(match word {
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
                    name: named(name)?,
                }
            }
            "slow" => {
                let (ms, name) = rest.split_once('-')?;
                let ms = ms.parse().ok().filter(|ms| *ms <= MAX_DELAY_MS)?;
                Self::Slow {
                    delay: Duration::from_millis(ms),
                    name: named(name)?,
                }
            }
            "http" => {
                let status = rest
                    .parse()
                    .ok()
                    .filter(|status| (200..600).contains(status))?;
                Self::Http(StatusCode::from_u16(status).ok()?)
            }
            "empty" => (wish == word).then_some(Self::Empty)?,
            "truncated" => (wish == word).then_some(Self::Truncated)?,
            _ => Self::Player { name: named(wish)? },
        })
    }
}

fn named(name: &str) -> Option<String> {
    is_name(name).then(|| name.to_owned())
}

/// The name in `<name>-<nonce>`, where only the name may have a `-`.
fn name_before_nonce(text: &str) -> Option<String> {
    let (name, nonce) = text.rsplit_once('-')?;
    if is_name(nonce) { named(name) } else { None }
}

/// Codes that were minted, and what became of codes that do not work for ever.
#[derive(Default)]
pub(crate) struct CodeBook {
    minted: HashMap<String, Minted>,
    spent: HashSet<String>,
    failures: HashMap<String, u32>,
}

struct Minted {
    name: String,
    at: Timestamp,
}

impl CodeBook {
    /// Mints a code as `wx.login` gives: 32 characters, for one use within five minutes.
    pub(crate) fn mint(&mut self, name: &str, now: Timestamp) -> String {
        let count = self.minted.len();
        let seed = format!("code:{name}:{count}:{}", Timestamp::now().as_nanosecond());
        let mut code = URL_SAFE_NO_PAD.encode(digest(&SHA256, seed.as_bytes()));
        // As real ones do, and so that none begins with `sim-`.
        code.insert(0, '0');
        code.truncate(32);
        self.minted.insert(
            code.clone(),
            Minted {
                name: name.to_owned(),
                at: now,
            },
        );
        code
    }

    /// Spends a minted code and gives the player's name, or the errcode. An expired code is unknown
    /// even when it was used before.
    pub(crate) fn spend_minted(&mut self, code: &str, now: Timestamp) -> Result<String, i64> {
        let minted = self.minted.get(code).ok_or(errcode::INVALID_CODE)?;
        if now.duration_since(minted.at) >= LIFETIME {
            return Err(errcode::INVALID_CODE);
        }
        let name = minted.name.clone();
        self.spend(code)?;
        Ok(name)
    }

    /// Spends a code that is good once, or gives the errcode.
    pub(crate) fn spend(&mut self, code: &str) -> Result<(), i64> {
        if self.spent.insert(code.to_owned()) {
            Ok(())
        } else {
            Err(errcode::CODE_USED)
        }
    }

    /// Counts a failure of `code` while it has not failed `times` times; false when it has.
    pub(crate) fn fail(&mut self, code: &str, times: u32) -> bool {
        let failed = self.failures.entry(code.to_owned()).or_default();
        let fails = *failed < times;
        if fails {
            *failed += 1;
        }
        fails
    }

    /// How many codes were minted, and how many codes are spent.
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
    fn codes_are_read_as_documented() {
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
    fn a_special_code_written_wrongly_is_no_player() {
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
