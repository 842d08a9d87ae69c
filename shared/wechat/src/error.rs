//! What can go wrong in a call, and what to do about it.
//!
//! The one table from WeChat's error codes to reactions is [`ErrCode::class`]. This module does not
//! react: retrying, alerting and asking the player to sign in again are the caller's.

use std::fmt;

use crate::Api;

/// WeChat's `errcode`; 0 is success and never part of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrCode(pub i64);

impl ErrCode {
    /// "System busy": WeChat does not say whether it did the work.
    pub const SYSTEM_BUSY: ErrCode = ErrCode(-1);

    /// Those that [`Self::class`] or our runbook knows: the label values of a metric.
    pub(crate) const KNOWN: &'static [i64] = &[
        -1, 40001, 40013, 40014, 40029, 40125, 40163, 40164, 40226, 40243, 42001, 44990, 44991,
        44993, 45009, 45011, 45035, 48001, 48004, 50004, 50007, 61004, 61007, 89503, 89506, 89507,
    ];

    /// What to do about this code, from WeChat's global return codes and the tables of its APIs.
    ///
    /// An unknown code is [`ErrorClass::Permanent`]: repeating what WeChat refused for a reason that
    /// we do not know only spends quota.
    pub fn class(self) -> ErrorClass {
        match self.0 {
            // System busy.
            -1 => ErrorClass::Retry,

            // The sign-in code: unknown or expired; used before.
            40029 | 40163 => ErrorClass::SignInAgain,

            // The access token: not the latest; malformed; expired.
            40001 | 40014 | 42001 => ErrorClass::RefreshToken,

            // Limits per second, minute (two codes) and day (two codes).
            44990 | 44991 | 45011 | 44993 | 45009 => ErrorClass::RateLimited,

            // The app id; its secret, wrong or frozen.
            40013 | 40125 | 40243 => ErrorClass::Misconfigured,
            // Our address is not on the list, or waits for an administrator's confirmation.
            40164 | 45035 | 61004 | 89503 | 89506 | 89507 => ErrorClass::Misconfigured,
            // The account lacks the API, is banned from it, or is frozen.
            48001 | 48004 | 50004 | 50007 | 61007 => ErrorClass::Misconfigured,

            // Among them 40226: WeChat blocks this player, and asking again makes it worse.
            _ => ErrorClass::Permanent,
        }
    }
}

impl fmt::Display for ErrCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the caller should do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
}

impl WechatError {
    /// What to do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Api { code, .. } => code.class(),
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
        }
    }

    /// WeChat's code, when it gave one.
    pub fn code(&self) -> Option<ErrCode> {
        match self {
            Self::Api { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// WeChat's request id, when it gave one.
    pub fn rid(&self) -> Option<&str> {
        match self {
            Self::Api { rid, .. } => rid.as_deref(),
            _ => None,
        }
    }
}
