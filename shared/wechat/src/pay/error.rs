//! Errors of WeChat Pay calls and their classification.

use std::time::Duration;

use super::codes::reaction;
use super::{PayCode, PayErrorClass, VerifyError};
use crate::Api;
use crate::breaker::Ended;

/// A failed call. Neither `Display` nor `Debug` shows a secret or a URL.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// WeChat, or an intermediary, returned an error status.
    #[error(
        "{api}: WeChat Pay returned {status} {} ({message})",
        code.as_ref().map_or("without a code", PayCode::as_str)
    )]
    Api {
        /// The API that was called.
        api: Api,
        /// The HTTP status.
        status: u16,
        /// WeChat's code; absent in responses of gateways.
        code: Option<PayCode>,
        /// WeChat's message, truncated. For humans only: its wording changes.
        message: String,
        /// The request id, needed by WeChat's support.
        request_id: Option<String>,
        /// Whether a valid signature proves that WeChat sent the error. Most errors are unsigned and
        /// must not change the state of money on their own (§2.3).
        signed: bool,
    },
    /// The call timed out.
    #[error("{api}: the call to WeChat Pay timed out (request sent: {sent})")]
    Timeout {
        /// The API that was called.
        api: Api,
        /// False when no connection was established, so WeChat certainly received nothing.
        sent: bool,
    },
    /// The connection failed, or was lost before the response was complete.
    #[error("{api}: the connection to WeChat Pay failed (request sent: {sent})")]
    Transport {
        /// The API that was called.
        api: Api,
        /// False when no connection was established, so WeChat certainly received nothing.
        sent: bool,
        /// The cause, without the URL.
        source: reqwest::Error,
    },
    /// A success whose signature could not be verified: the outcome is unknown.
    #[error("{api}: WeChat Pay's response could not be verified; the outcome is unknown")]
    Unverified {
        /// The API that was called.
        api: Api,
        /// The request id, needed by WeChat's support.
        request_id: Option<String>,
        /// The reason why verification failed.
        source: VerifyError,
    },
    /// A success that violates the API's contract.
    #[error("{api}: {reason}")]
    Malformed {
        /// The API that was called.
        api: Api,
        /// The violation; never a part of the body.
        reason: &'static str,
    },
    /// Calls to the API are paused, so nothing was sent.
    #[error("{api}: calls are paused while WeChat Pay does not answer")]
    Paused {
        /// The API that was not called.
        api: Api,
        /// When to retry, from now.
        retry_after: Duration,
    },
    /// The request could not be signed and was not sent.
    #[error("{api}: the request could not be signed")]
    Signing {
        /// The API that was not called.
        api: Api,
    },
}

impl PayError {
    /// Returns how the caller should react.
    pub fn class(&self) -> PayErrorClass {
        self.reaction().0
    }

    /// Whether to alert an operator immediately, independent of the class.
    pub fn alerts(&self) -> bool {
        self.reaction().1
    }

    fn reaction(&self) -> (PayErrorClass, bool) {
        let (class, alert) = match self {
            Self::Api {
                api, status, code, ..
            } => return reaction(*api, *status, code.as_ref()),
            Self::Timeout { .. } | Self::Transport { .. } | Self::Paused { .. } => {
                (PayErrorClass::Retry, false)
            }
            // WeChat's probes must not alert (§2.5).
            Self::Unverified { source, .. } => {
                (PayErrorClass::Retry, *source != VerifyError::SignTest)
            }
            Self::Malformed { .. } | Self::Signing { .. } => (PayErrorClass::Retry, true),
        };
        // A refund with an unknown outcome is queried, never blindly retried (§6.3).
        let refunds = matches!(self.api(), Api::PayRefund | Api::PayAbnormalRefund);
        if refunds && self.may_have_taken_effect() {
            return (PayErrorClass::QueryFirst, alert);
        }
        (class, alert)
    }

    /// Whether the request may have taken effect although the call failed.
    pub fn may_have_taken_effect(&self) -> bool {
        match self {
            Self::Api { status, .. } => matches!(status, 202 | 408 | 429 | 500..),
            Self::Timeout { sent, .. } | Self::Transport { sent, .. } => *sent,
            Self::Unverified { .. } | Self::Malformed { .. } => true,
            Self::Paused { .. } | Self::Signing { .. } => false,
        }
    }

    /// Whether WeChat reports that the queried object does not exist (usually unsigned).
    pub fn is_absent(&self) -> bool {
        self.code()
            .is_some_and(|code| code.is("ORDER_NOT_EXIST") || code.is("RESOURCE_NOT_EXISTS"))
    }

    /// Returns the API that was called.
    pub fn api(&self) -> Api {
        match self {
            Self::Api { api, .. }
            | Self::Timeout { api, .. }
            | Self::Transport { api, .. }
            | Self::Unverified { api, .. }
            | Self::Malformed { api, .. }
            | Self::Paused { api, .. }
            | Self::Signing { api } => *api,
        }
    }

    /// Returns when to retry, if the circuit breaker of the API knows better than the caller.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Paused { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    pub(super) fn ended(&self) -> Ended {
        match self {
            Self::Timeout { .. } | Self::Transport { .. } | Self::Malformed { .. } => {
                Ended::Unanswered
            }
            error if error.class() == PayErrorClass::RateLimited => Ended::Limited,
            Self::Api {
                status: 408 | 500..,
                ..
            } => Ended::Unanswered,
            _ => Ended::Answered,
        }
    }

    /// Returns WeChat's code, if it sent one.
    pub fn code(&self) -> Option<&PayCode> {
        match self {
            Self::Api { code, .. } => code.as_ref(),
            _ => None,
        }
    }

    /// Returns WeChat's request id, if it sent one.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Api { request_id, .. } | Self::Unverified { request_id, .. } => {
                request_id.as_deref()
            }
            _ => None,
        }
    }

    /// Marks the request as sent, since an earlier attempt may have reached WeChat.
    pub(super) fn after_sent(mut self) -> Self {
        if let Self::Timeout { sent, .. } | Self::Transport { sent, .. } = &mut self {
            *sent = true;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use PayErrorClass::{QueryFirst, Retry};

    use super::*;

    #[test]
    fn refund_with_unknown_outcome_is_queried_first() {
        let timeout = |api, sent| PayError::Timeout { api, sent }.class();
        assert_eq!(timeout(Api::PayRefund, true), QueryFirst);
        assert_eq!(timeout(Api::PayRefund, false), Retry);
        assert_eq!(timeout(Api::PayJsapi, true), Retry);
        let unverified = PayError::Unverified {
            api: Api::PayRefund,
            request_id: None,
            source: VerifyError::SignTest,
        };
        assert_eq!(
            (unverified.class(), unverified.alerts()),
            (QueryFirst, false)
        );
    }
}
