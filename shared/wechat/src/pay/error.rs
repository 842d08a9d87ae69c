//! What can go wrong in a call to WeChat Pay, and what to do about it.

use super::codes::reaction;
use super::{PayCode, PayErrorClass, VerifyError};
use crate::Api;

/// A call that gave no usable answer. Neither `Display` nor `Debug` shows a secret or a URL.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// WeChat, or something between, answered with another status than success.
    #[error(
        "{api}: WeChat Pay answered {status} {} ({message})",
        code.as_ref().map_or("without a code", PayCode::as_str)
    )]
    Api {
        /// The API that was called.
        api: Api,
        /// The HTTP status.
        status: u16,
        /// WeChat's code; none when a gateway spoke.
        code: Option<PayCode>,
        /// WeChat's message, shortened. For people, not for comparing.
        message: String,
        /// The request id, which WeChat's support asks for.
        request_id: Option<String>,
        /// Whether a signature proves that WeChat said so. Usually none does: an error alone must
        /// not move money (§2.3).
        signed: bool,
    },
    /// No answer in time.
    #[error("{api}: no answer from WeChat Pay in time (request sent: {sent})")]
    Timeout {
        /// The API that was called.
        api: Api,
        /// False when the connection was not even up, so that WeChat surely saw nothing.
        sent: bool,
    },
    /// The connection could not be made, or was lost before the answer was complete.
    #[error("{api}: the connection to WeChat Pay failed (request sent: {sent})")]
    Transport {
        /// The API that was called.
        api: Api,
        /// False when the connection was not even up, so that WeChat surely saw nothing.
        sent: bool,
        /// What failed, without the URL.
        source: reqwest::Error,
    },
    /// A success that does not prove to be WeChat's: the outcome is unknown.
    #[error("{api}: the answer of WeChat Pay could not be verified, the outcome is unknown")]
    Unverified {
        /// The API that was called.
        api: Api,
        /// The request id.
        request_id: Option<String>,
        /// What is wrong with the signature.
        source: VerifyError,
    },
    /// An answer that is not what the API promises.
    #[error("{api}: {reason}")]
    Malformed {
        /// The API that was called.
        api: Api,
        /// What is wrong with it; never a part of the body.
        reason: &'static str,
    },
    /// The request was not signed, and so not sent.
    #[error("{api}: the request could not be signed")]
    Signing {
        /// The API that was to be called.
        api: Api,
    },
}

impl PayError {
    /// What to do about it.
    pub fn class(&self) -> PayErrorClass {
        self.reaction().0
    }

    /// Whether an operator should hear of it at once, whatever the class.
    pub fn alerts(&self) -> bool {
        self.reaction().1
    }

    fn reaction(&self) -> (PayErrorClass, bool) {
        let (class, alert) = match self {
            Self::Api {
                api, status, code, ..
            } => return reaction(*api, *status, code.as_ref()),
            Self::Timeout { .. } | Self::Transport { .. } => (PayErrorClass::Retry, false),
            // WeChat's probes are no reason to wake anybody (§2.5).
            Self::Unverified { source, .. } => {
                (PayErrorClass::Retry, *source != VerifyError::SignTest)
            }
            Self::Malformed { .. } | Self::Signing { .. } => (PayErrorClass::Retry, true),
        };
        // A refund of unknown outcome is queried, never just repeated (§6.3).
        if self.api() == Api::PayRefund && self.may_have_taken_effect() {
            return (PayErrorClass::QueryFirst, alert);
        }
        (class, alert)
    }

    /// Whether WeChat may have done the work although we have no answer that says so.
    pub fn may_have_taken_effect(&self) -> bool {
        match self {
            Self::Api { status, .. } => matches!(status, 202 | 408 | 429 | 500..),
            Self::Timeout { sent, .. } | Self::Transport { sent, .. } => *sent,
            Self::Unverified { .. } | Self::Malformed { .. } => true,
            Self::Signing { .. } => false,
        }
    }

    /// Whether WeChat says that what was asked about does not exist (unsigned, as a rule).
    pub fn is_absent(&self) -> bool {
        self.code()
            .is_some_and(|code| code.is("ORDER_NOT_EXIST") || code.is("RESOURCE_NOT_EXISTS"))
    }

    /// The API that was called.
    pub fn api(&self) -> Api {
        match self {
            Self::Api { api, .. }
            | Self::Timeout { api, .. }
            | Self::Transport { api, .. }
            | Self::Unverified { api, .. }
            | Self::Malformed { api, .. }
            | Self::Signing { api } => *api,
        }
    }

    /// WeChat's code, when it gave one.
    pub fn code(&self) -> Option<&PayCode> {
        match self {
            Self::Api { code, .. } => code.as_ref(),
            _ => None,
        }
    }

    /// WeChat's request id, when it gave one.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Api { request_id, .. } | Self::Unverified { request_id, .. } => {
                request_id.as_deref()
            }
            _ => None,
        }
    }

    /// An earlier attempt of the same call may have arrived.
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
    fn a_refund_of_unknown_outcome_is_queried() {
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
