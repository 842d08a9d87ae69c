//! The error codes of virtual payment and the errors of its calls.
//!
//! | code | on | meaning | reaction |
//! |---|---|---|---|
//! | -1 | all | busy; the effect may have happened | repeat with the same `bill_no` |
//! | 90000 | balance, spend, cancel | order not found, or unspecified | permanent; reconcile |
//! | 90010 | all | `signature` is wrong | the player signs in again |
//! | 90011 | all | `pay_sig` is wrong | an operator checks the AppKey |
//! | 90012 | spend, present, cancel | `bill_no` was applied before | success, if it was this request |
//! | 90013 | spend | insufficient coins | permanent |
//! | 90014, 90015 | unconfirmed | order done, or already rolled back | permanent |
//! | 90016 | all | the session key expired | the player signs in again |
//! | 90017 | unconfirmed | no permission | an operator checks the console |
//! | 90018 | all | a parameter is wrong, or coin or zone are not published | permanent |
//! | 90019 | query | unknown order: not begun by the client, or not yet | ask again later |

use crate::{Api, ErrCode, ErrorClass, WechatError};

/// What a code of virtual payment means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VirtualPaymentCode {
    /// 90000: order not found, or an unspecified failure.
    NotFound,
    /// 90010: the login-state signature is wrong.
    LoginSignature,
    /// 90011: `pay_sig` is wrong: AppKey, environment, path or bytes.
    PaySignature,
    /// 90012: the `bill_no` was applied before.
    Repeated,
    /// 90013: the player has fewer coins.
    InsufficientCoins,
    /// 90014: the order is done.
    OrderDone,
    /// 90015: the order was rolled back before.
    RolledBack,
    /// 90016: the session key expired.
    SessionKeyExpired,
    /// 90017: no permission.
    NoPermission,
    /// 90018: a parameter is wrong, or the coin or zone is not published.
    Parameter,
    /// 90019: the order is unknown.
    UnknownOrder,
}

impl VirtualPaymentCode {
    /// Recognises the codes that only virtual payment uses; `None` for any other.
    pub const fn of(code: ErrCode) -> Option<Self> {
        Some(match code.0 {
            90000 => Self::NotFound,
            90010 => Self::LoginSignature,
            90011 => Self::PaySignature,
            90012 => Self::Repeated,
            90013 => Self::InsufficientCoins,
            90014 => Self::OrderDone,
            90015 => Self::RolledBack,
            90016 => Self::SessionKeyExpired,
            90017 => Self::NoPermission,
            90018 => Self::Parameter,
            90019 => Self::UnknownOrder,
            _ => return None,
        })
    }

    /// Returns how the caller should react to the code where a call does not know better: a spend
    /// takes [`Self::Repeated`] for a success, a query [`Self::UnknownOrder`] for an answer.
    pub const fn class(self) -> ErrorClass {
        match self {
            Self::LoginSignature | Self::SessionKeyExpired => ErrorClass::SignInAgain,
            Self::PaySignature | Self::NoPermission => ErrorClass::Misconfigured,
            Self::NotFound
            | Self::Repeated
            | Self::InsufficientCoins
            | Self::OrderDone
            | Self::RolledBack
            | Self::Parameter
            | Self::UnknownOrder => ErrorClass::Permanent,
        }
    }
}

/// A failed call of virtual payment. Shows neither ids nor WeChat's `errmsg`.
#[derive(Debug, thiserror::Error)]
pub enum VirtualPaymentError {
    /// The player's session key is missing or dead. Repeating the call is useless until the player signs
    /// in; then it is repeated unchanged, with the same number.
    #[error("{api}: the player must sign in again")]
    SignInAgain {
        /// The API.
        api: Api,
        /// WeChat's code; none when no key was stored, so that nothing was sent.
        code: Option<ErrCode>,
    },
    /// The AppKey of the environment is not configured, so nothing was sent.
    #[error("{api}: no AppKey is configured for the environment")]
    NoAppKey {
        /// The API that was not called.
        api: Api,
    },
    /// WeChat refused the call, which had no effect.
    #[error("{api}: virtual payment refused the call with {errcode}", errcode = .error.code().map_or(0, |code| code.0))]
    Refused {
        /// The API.
        api: Api,
        /// What the code means.
        code: VirtualPaymentCode,
        /// The error, for its code and request id.
        #[source]
        error: WechatError,
    },
    /// Any other failure of a platform call.
    #[error(transparent)]
    Call(#[from] WechatError),
}

impl VirtualPaymentError {
    /// Classifies the failure of a call.
    pub(super) fn of(api: Api, error: WechatError) -> Self {
        let Some(errcode) = error.code() else {
            return Self::Call(error);
        };
        match VirtualPaymentCode::of(errcode) {
            // Includes the codes by which other platform calls report a dead session key.
            _ if errcode.class() == ErrorClass::SignInAgain => Self::SignInAgain {
                api,
                code: Some(errcode),
            },
            Some(code) => Self::Refused { api, code, error },
            None => Self::Call(error),
        }
    }

    /// Returns how the caller should react.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::SignInAgain { .. } => ErrorClass::SignInAgain,
            Self::NoAppKey { .. } => ErrorClass::Misconfigured,
            Self::Refused { code, .. } => code.class(),
            Self::Call(error) => error.class(),
        }
    }

    /// Whether the call may have taken effect: it must then be repeated with the same number, never
    /// with another.
    pub fn may_have_taken_effect(&self) -> bool {
        match self {
            Self::SignInAgain { .. } | Self::NoAppKey { .. } | Self::Refused { .. } => false,
            Self::Call(error) => error.may_have_taken_effect(),
        }
    }

    /// Returns the code that WeChat refused the call with.
    pub fn code(&self) -> Option<VirtualPaymentCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::SignInAgain { code, .. } => code.and_then(VirtualPaymentCode::of),
            Self::NoAppKey { .. } | Self::Call(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: i64) -> VirtualPaymentError {
        let error = WechatError::Api {
            api: Api::VpaySpend,
            code: ErrCode(code),
            message: String::new(),
            rid: None,
        };
        VirtualPaymentError::of(Api::VpaySpend, error)
    }

    #[test]
    fn table_of_codes_is_followed() {
        use ErrorClass::{Misconfigured, Permanent, RefreshToken, Retry, SignInAgain};
        for (code, class) in [
            (-1, Retry),
            (90000, Permanent),
            (90010, SignInAgain),
            (90011, Misconfigured),
            (90012, Permanent),
            (90013, Permanent),
            (90014, Permanent),
            (90015, Permanent),
            (90016, SignInAgain),
            (90017, Misconfigured),
            (90018, Permanent),
            (90019, Permanent),
            // Others, by the table of the platform.
            (87009, SignInAgain),
            (87007, SignInAgain),
            (40001, RefreshToken),
            (123_456, Permanent),
        ] {
            assert_eq!(failed(code).class(), class, "{code}");
            assert_eq!(ErrCode(code).class(), class, "{code} in general");
        }
    }

    #[test]
    fn dead_session_keys_are_one_outcome() {
        for code in [90010, 90016, 87007, 87009] {
            let error = failed(code);
            assert!(
                matches!(error, VirtualPaymentError::SignInAgain { .. }),
                "{code}"
            );
            assert!(!error.may_have_taken_effect(), "{code}");
        }
    }

    #[test]
    fn only_busy_and_lost_answers_may_have_taken_effect() {
        assert!(failed(-1).may_have_taken_effect());
        for code in (90_000..=90_019).chain([40001, 45011]) {
            assert!(!failed(code).may_have_taken_effect(), "{code}");
        }
    }
}
