//! What can go wrong in a call, and what to do about it.
//!
//! The one table from WeChat's error codes to reactions is [`ErrCode::class`]. This module does not
//! react: retrying, alerting and asking the player to sign in again are the caller's.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AccessTokenError, Api};

/// WeChat's `errcode`; 0 is success and never part of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrCode(pub i64);

impl ErrCode {
    /// "System busy": WeChat does not say whether it did the work.
    pub const SYSTEM_BUSY: ErrCode = ErrCode(-1);
    /// The figures of a day are not made yet.
    pub const DATA_NOT_READY: ErrCode = ErrCode(61503);
    /// The player was not in the game lately (two hours), which some APIs ask for.
    pub const INACTIVE_PLAYER: ErrCode = ErrCode(61010);

    /// What to do about this code, from WeChat's global return codes and the tables of its APIs.
    ///
    /// An unknown code is [`ErrorClass::Permanent`]: repeating what WeChat refused for a reason that
    /// we do not know only spends quota.
    pub fn class(self) -> ErrorClass {
        match self.0 {
            // System busy; an update that is being applied; the risk service is away; analysis data
            // that is not there yet (for minutes to hours), or busy.
            -1 | 43108 | 61080 | 61503 | 61504 => ErrorClass::Retry,

            // The sign-in code: unknown or expired; used before.
            40029 | 40163 => ErrorClass::SignInAgain,
            // The session key: gone; replaced by another. (90010 is virtual payment's word for it.)
            87007 | 87009 | 90010 => ErrorClass::SignInAgain,

            // The access token: not the latest; malformed; expired.
            40001 | 40014 | 42001 => ErrorClass::RefreshToken,

            // Limits per second, minute (two codes) and day (two codes).
            44990 | 44991 | 45011 | 44993 | 45009 => ErrorClass::RateLimited,
            // Limits that some APIs have codes of their own for: risk, its tests, text checks by
            // minute and day, media checks, analysis.
            61081 | 9410009 | 750032 | 750033 | 87020 | -10094011 => ErrorClass::RateLimited,

            // The app id; its secret, wrong or frozen.
            40013 | 40125 | 40243 => ErrorClass::Misconfigured,
            // Our address is not on the list, or waits for an administrator's confirmation.
            40164 | 45035 | 61004 | 89503 | 89506 | 89507 => ErrorClass::Misconfigured,
            // The account lacks the API, is banned from it, or is frozen.
            48001 | 48004 | 50004 | 50007 | 61007 => ErrorClass::Misconfigured,
            // The quota-clear budget is spent; codes, subscriptions or text checks are not ours to use.
            48006 | 45029 | 43107 | 750031 => ErrorClass::Misconfigured,

            // Among them 40226, WeChat blocks this player, and asking again makes it worse; and 61010,
            // the player was not in the game lately.
            _ => ErrorClass::Permanent,
        }
    }

    /// Whether [`Self::class`] or the runbook knows it: only these become labels of metrics.
    pub(crate) fn is_known(self) -> bool {
        // A player whom WeChat blocks, one who was not in the game lately, and risky content.
        let told_apart = matches!(self.0, 40226 | 61010 | 87014);
        told_apart || self.class() != ErrorClass::Permanent
    }
}

impl fmt::Display for ErrCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The player must call `wx.login` again: this code will never be good.
    SignInAgain,
    /// Never repeat this request: the answer will be the same.
    Permanent,
    /// Repeat later, at the pace of the limit (the next minute, or the next day).
    RateLimited,
    /// Repeat with back-off, minding [`WechatError::may_have_taken_effect`].
    Retry,
    /// Fetch a new access token and repeat once.
    RefreshToken,
    /// Nothing works until an operator changes something here or at WeChat: alert.
    Misconfigured,
}

impl ErrorClass {
    /// The class as a metrics label or log field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignInAgain => "sign_in_again",
            Self::Permanent => "permanent",
            Self::RateLimited => "rate_limited",
            Self::Retry => "retry",
            Self::RefreshToken => "refresh_token",
            Self::Misconfigured => "misconfigured",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call that gave no usable answer. Neither `Display` nor `Debug` shows a secret or a URL.
#[derive(Debug, thiserror::Error)]
pub enum WechatError {
    /// WeChat answered with an `errcode` other than 0.
    #[error("{api}: WeChat answered {code} ({message})")]
    Api {
        /// The API that was called.
        api: Api,
        /// WeChat's code.
        code: ErrCode,
        /// WeChat's `errmsg`, shortened and without the secrets of the request. For people, not for
        /// comparing: its wording changes.
        message: String,
        /// The request id, which WeChat's support asks for.
        rid: Option<String>,
    },
    /// No answer in time.
    #[error("{api}: no answer from WeChat in time (request sent: {sent})")]
    Timeout {
        /// The API that was called.
        api: Api,
        /// False when the connection was not even up, so that WeChat surely saw nothing.
        sent: bool,
    },
    /// The connection could not be made, or was lost before the answer was complete.
    #[error("{api}: the connection to WeChat failed (request sent: {sent})")]
    Transport {
        /// The API that was called.
        api: Api,
        /// False when the connection was not even up, so that WeChat surely saw nothing.
        sent: bool,
        /// What failed, without the URL.
        source: reqwest::Error,
    },
    /// An HTTP status other than 2xx: an edge or proxy spoke, since WeChat's APIs answer with 200.
    #[error("{api}: HTTP status {status} in place of WeChat's answer")]
    HttpStatus {
        /// The API that was called.
        api: Api,
        /// The status.
        status: u16,
    },
    /// A 2xx answer that is not what the API promises.
    #[error("{api}: {reason}")]
    Malformed {
        /// The API that was called.
        api: Api,
        /// What is wrong with it; never a part of the body, which may hold a session key.
        reason: &'static str,
    },
    /// There was no access token to call with, so nothing was sent.
    #[error("{api}: there is no access token to call with")]
    NoToken {
        /// The API that was not called.
        api: Api,
        /// Why there is none.
        source: AccessTokenError,
    },
    /// WeChat refused two access tokens in turn, the second one fetched because of the first.
    #[error("{api}: WeChat answered {code} to an access token that was fetched anew")]
    TokenRefused {
        /// The API that was called.
        api: Api,
        /// WeChat's code for the second.
        code: ErrCode,
        /// WeChat's request id.
        rid: Option<String>,
    },
}

impl WechatError {
    /// What to do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            // A token that is asked for with bad credentials: there is none to fetch anew.
            Self::Api { api, code, .. }
                if *api == Api::StableToken && code.class() == ErrorClass::RefreshToken =>
            {
                ErrorClass::Misconfigured
            }
            Self::Api { code, .. } => code.class(),
            Self::NoToken { source, .. } => source.class(),
            // Something else uses up our tokens: another service that forces new ones, most likely.
            Self::TokenRefused { .. } => ErrorClass::Misconfigured,
            Self::Timeout { .. } | Self::Transport { .. } | Self::Malformed { .. } => {
                ErrorClass::Retry
            }
            Self::HttpStatus { status, .. } => match status {
                429 => ErrorClass::RateLimited,
                408 | 500.. => ErrorClass::Retry,
                // A redirect or 4xx comes from something that is not WeChat's API: a wrong base
                // address or a proxy. No player can help that.
                _ => ErrorClass::Misconfigured,
            },
        }
    }

    /// Whether WeChat may have done the work although we have no answer.
    ///
    /// For a request that spends something (a sign-in code) a repeat may then be refused.
    pub fn may_have_taken_effect(&self) -> bool {
        match self {
            Self::Api { code, .. } => *code == ErrCode::SYSTEM_BUSY,
            Self::Timeout { sent, .. } | Self::Transport { sent, .. } => *sent,
            Self::HttpStatus { status, .. } => matches!(status, 408 | 500..),
            Self::Malformed { .. } => true,
            Self::NoToken { .. } | Self::TokenRefused { .. } => false,
        }
    }

    /// WeChat's code, when it gave one.
    pub fn code(&self) -> Option<ErrCode> {
        match self {
            Self::Api { code, .. } | Self::TokenRefused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// WeChat's request id, when it gave one.
    pub fn rid(&self) -> Option<&str> {
        match self {
            Self::Api { rid, .. } | Self::TokenRefused { rid, .. } => rid.as_deref(),
            _ => None,
        }
    }
}
