//! Errors of platform calls and their classification.
//!
//! [`ErrCode::class`] is the only table that maps WeChat's error codes to reactions; that of virtual
//! payment is beside its calls. Reacting
//! (retrying, alerting, asking the player to sign in again) is up to the caller.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

use crate::breaker::Ended;
use crate::virtual_payment::VirtualPaymentCode;
use crate::{AccessTokenError, Api};

/// WeChat's `errcode`; 0 is success and never part of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrCode(pub i64);

impl ErrCode {
    /// "System busy": WeChat does not say whether the request took effect.
    pub const SYSTEM_BUSY: ErrCode = ErrCode(-1);
    /// The figures of a day are not available yet.
    pub const DATA_NOT_READY: ErrCode = ErrCode(61503);
    /// The player was not in the game within the last two hours, which some APIs require.
    pub const INACTIVE_PLAYER: ErrCode = ErrCode(61010);

    /// A subscribe message was not sent: the player accepts none of the template.
    pub const NOT_SUBSCRIBED: ErrCode = ErrCode(43101);
    /// A subscribe message was not sent, since another one to the player was being sent.
    pub const CONCURRENT_MESSAGES: ErrCode = ErrCode(43108);

    /// Classifies the code, by WeChat's global return codes and the tables of its APIs.
    ///
    /// An unknown code is [`ErrorClass::Permanent`]: retrying a request that was rejected for an
    /// unknown reason only consumes quota.
    pub fn class(self) -> ErrorClass {
        match self.0 {
            // System busy; an update being applied; the risk service is unavailable; analysis data
            // not available yet (for minutes to hours), or busy.
            -1 | 43108 | 61080 | 61503 | 61504 => ErrorClass::Retry,

            // Sign-in code: unknown or expired; already used.
            40029 | 40163 => ErrorClass::SignInAgain,
            // Session key: does not exist; replaced.
            87007 | 87009 => ErrorClass::SignInAgain,

            // Access token: not the latest; malformed; expired.
            40001 | 40014 | 42001 => ErrorClass::RefreshToken,

            // Limits per second, minute (two codes) and day (two codes).
            44990 | 44991 | 45011 | 44993 | 45009 => ErrorClass::RateLimited,
            // API-specific limits: risk, its tests, text checks per minute and day, media checks,
            // analysis.
            61081 | 9410009 | 750032 | 750033 | 87020 | -10094011 => ErrorClass::RateLimited,

            // App id; app secret wrong or frozen.
            40013 | 40125 | 40243 => ErrorClass::Misconfigured,
            // Our IP address is not allowlisted, or awaits an administrator's confirmation.
            40164 | 45035 | 61004 | 89503 | 89506 | 89507 => ErrorClass::Misconfigured,
            // The account lacks the API, is banned from it, or is frozen.
            48001 | 48004 | 50004 | 50007 | 61007 => ErrorClass::Misconfigured,
            // Quota-clear budget exhausted; codes, subscriptions or text checks not permitted.
            48006 | 45029 | 43107 | 750031 => ErrorClass::Misconfigured,

            90_000..=90_099 => VirtualPaymentCode::of(self)
                .map_or(ErrorClass::Permanent, VirtualPaymentCode::class),

            // Includes 40226 (player blocked by WeChat; retrying makes it worse) and 61010 (player
            // not recently in the game).
            _ => ErrorClass::Permanent,
        }
    }

    /// Whether [`Self::class`] or the runbook knows the code: only these become metric labels.
    pub(crate) fn is_known(self) -> bool {
        // Blocked player, inactive player, risky content; messages without subscription, with sensitive words, with an
        // invalid field, of an unknown template; four limits of the cloud storage.
        let in_runbook = matches!(
            self.0,
            40226 | 61010 | 87014 | 43101 | 45168 | 47003 | 40037 | 87016..=87019
        );
        let of_virtual_payment = VirtualPaymentCode::of(self).is_some();
        in_runbook || of_virtual_payment || self.class() != ErrorClass::Permanent
    }
}

impl fmt::Display for ErrCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the caller should do about an error.
#[derive(
    Clone,
    Copy,
    Debug,
    Display,
    PartialEq,
    Eq,
    Hash,
    IntoStaticStr,
    Serialize,
    Deserialize,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ErrorClass {
    /// The player must call `wx.login` again: this code will never be valid.
    SignInAgain,
    /// Do not retry: the response will be the same.
    Permanent,
    /// Retry when the limit resets (the next minute, or the next day).
    RateLimited,
    /// Retry with back-off, considering [`WechatError::may_have_taken_effect`].
    Retry,
    /// Fetch a new access token and retry once.
    RefreshToken,
    /// Every call fails until an operator fixes the configuration here or at WeChat: alert.
    Misconfigured,
}

/// A failed call. Neither `Display` nor `Debug` shows a secret or a URL.
#[derive(Debug, thiserror::Error)]
pub enum WechatError {
    /// WeChat returned an `errcode` other than 0.
    #[error("{api}: WeChat returned error {code} ({message})")]
    Api {
        /// The API that was called.
        api: Api,
        /// WeChat's code.
        code: ErrCode,
        /// WeChat's `errmsg`, truncated and with the request's secrets redacted. For humans only: its
        /// wording changes.
        message: String,
        /// The request id, needed by WeChat's support.
        rid: Option<String>,
    },
    /// The call timed out.
    #[error("{api}: the call to WeChat timed out (request sent: {sent})")]
    Timeout {
        /// The API that was called.
        api: Api,
        /// False when no connection was established, so WeChat certainly received nothing.
        sent: bool,
    },
    /// The connection failed, or was lost before the response was complete.
    #[error("{api}: the connection to WeChat failed (request sent: {sent})")]
    Transport {
        /// The API that was called.
        api: Api,
        /// False when no connection was established, so WeChat certainly received nothing.
        sent: bool,
        /// The cause, without the URL.
        source: reqwest::Error,
    },
    /// An HTTP status other than 2xx: from an edge or proxy, since WeChat's APIs return 200.
    #[error("{api}: unexpected HTTP status {status}")]
    HttpStatus {
        /// The API that was called.
        api: Api,
        /// The HTTP status code.
        status: u16,
    },
    /// A 2xx response that violates the API's contract.
    #[error("{api}: {reason}")]
    Malformed {
        /// The API that was called.
        api: Api,
        /// The violation; never a part of the body, which may hold a session key.
        reason: &'static str,
    },
    /// Calls to the API are paused, so nothing was sent.
    #[error("{api}: calls are paused while WeChat does not answer")]
    Paused {
        /// The API that was not called.
        api: Api,
        /// When to retry, from now.
        retry_after: Duration,
    },
    /// No access token was available, so nothing was sent.
    #[error("{api}: no access token is available")]
    NoToken {
        /// The API that was not called.
        api: Api,
        /// The reason.
        source: AccessTokenError,
    },
    /// WeChat rejected two access tokens in a row, the second one freshly fetched.
    #[error("{api}: WeChat rejected a freshly fetched access token with error {code}")]
    TokenRefused {
        /// The API that was called.
        api: Api,
        /// WeChat's code for the second rejection.
        code: ErrCode,
        /// WeChat's request id.
        rid: Option<String>,
    },
}

impl WechatError {
    /// Returns how the caller should react.
    pub fn class(&self) -> ErrorClass {
        match self {
            // The credentials are wrong: fetching another token cannot help.
            Self::Api { api, code, .. }
                if *api == Api::StableToken && code.class() == ErrorClass::RefreshToken =>
            {
                ErrorClass::Misconfigured
            }
            Self::Api { code, .. } => code.class(),
            Self::NoToken { source, .. } => source.class(),
            // Something else invalidates our tokens, most likely another service that forces new ones.
            Self::TokenRefused { .. } => ErrorClass::Misconfigured,
            Self::Timeout { .. }
            | Self::Transport { .. }
            | Self::Malformed { .. }
            | Self::Paused { .. } => ErrorClass::Retry,
            Self::HttpStatus { status, .. } => match status {
                429 => ErrorClass::RateLimited,
                408 | 500.. => ErrorClass::Retry,
                // A redirect or 4xx does not come from WeChat's API but from a wrong base URL or a
                // proxy, which only an operator can fix.
                _ => ErrorClass::Misconfigured,
            },
        }
    }

    /// Whether the request may have taken effect although the call failed.
    ///
    /// When a request consumes something (a sign-in code), WeChat may then reject a retry.
    pub fn may_have_taken_effect(&self) -> bool {
        match self {
            Self::Api { code, .. } => *code == ErrCode::SYSTEM_BUSY,
            Self::Timeout { sent, .. } | Self::Transport { sent, .. } => *sent,
            Self::HttpStatus { status, .. } => matches!(status, 408 | 500..),
            Self::Malformed { .. } => true,
            Self::Paused { .. } | Self::NoToken { .. } | Self::TokenRefused { .. } => false,
        }
    }

    /// Returns when to retry, if the circuit breaker of the API knows better than the caller.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Paused { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    pub(crate) fn ended(&self) -> Ended {
        match self {
            Self::Timeout { .. } | Self::Transport { .. } | Self::Malformed { .. } => {
                Ended::Unanswered
            }
            Self::Api { code, .. } if *code == ErrCode::SYSTEM_BUSY => Ended::Unanswered,
            Self::HttpStatus {
                status: 408 | 500..,
                ..
            } => Ended::Unanswered,
            error if error.class() == ErrorClass::RateLimited => Ended::Limited,
            _ => Ended::Answered,
        }
    }

    /// Returns WeChat's code, if it sent one.
    pub fn code(&self) -> Option<ErrCode> {
        match self {
            Self::Api { code, .. } | Self::TokenRefused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Returns WeChat's request id, if it sent one.
    pub fn rid(&self) -> Option<&str> {
        match self {
            Self::Api { rid, .. } | Self::TokenRefused { rid, .. } => rid.as_deref(),
            _ => None,
        }
    }
}
