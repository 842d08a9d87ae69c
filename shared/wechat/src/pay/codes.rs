//! WeChat Pay's error codes and the only table that maps them to reactions (§8.3).
//!
//! Never depends on `message`, whose wording changes.

use std::fmt;

use strum::{Display, IntoStaticStr, VariantArray};

use crate::Api;

/// WeChat Pay's `code`. Compared ignoring case and underscores, in which WeChat is inconsistent.
#[derive(Clone, Debug)]
pub struct PayCode(String);

impl PayCode {
    /// Wraps a code as WeChat wrote it.
    pub fn new(code: impl Into<String>) -> Self {
        Self(code.into())
    }

    /// Returns the code as WeChat wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the code is `name`, for example `ORDER_NOT_EXIST`.
    pub fn is(&self, name: &str) -> bool {
        normal(&self.0) == normal(name)
    }
}

/// The codes that [`reaction`] knows, which are the metric's label values.
const KNOWN: &[&str] = &[
    "ACCOUNT_ERROR",
    "APPID_MCHID_NOT_MATCH",
    "BANK_ERROR",
    "FREQUENCY_LIMITED",
    "INVALID_REQUEST",
    "INVALID_TRANSACTIONID",
    "MCH_NOT_EXISTS",
    "NO_AUTH",
    "NO_STATEMENT_EXIST",
    "NOT_ENOUGH",
    "NOT_FOUND",
    "OPENID_MISMATCH",
    "ORDER_CLOSED",
    "ORDER_NOT_EXIST",
    "ORDER_PAID",
    "OUT_TRADE_NO_USED",
    "PARAM_ERROR",
    "RATELIMIT_EXCEEDED",
    "REFUND_FEE_MISMATCH",
    "RESOURCE_NOT_EXISTS",
    "RULE_LIMIT",
    "SERVICE_UNAVAILABLE",
    "SIGN_ERROR",
    "STATEMENT_CREATING",
    "SYSTEM_ERROR",
    "TRADE_ERROR",
    "TRADE_OVERDUE",
    "USER_ACCOUNT_ABNORMAL",
];

impl PayCode {
    /// Returns the code as a metric label in canonical spelling; `other` when it is unknown.
    pub(crate) fn label(&self) -> &'static str {
        let known = KNOWN.iter().find(|known| self.is(known));
        known.copied().unwrap_or("other")
    }
}

fn normal(code: &str) -> String {
    code.replace('_', "").to_ascii_uppercase()
}

impl fmt::Display for PayCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the caller should do about an error.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum PayErrorClass {
    /// Do not retry: the response will be the same.
    Permanent,
    /// Retry the same bytes with back-off.
    Retry,
    /// Query the order or refund, then decide. Never change its number before.
    QueryFirst,
    /// WeChat reports the order as paid: query, and grant only if the signed response confirms it.
    AlreadyPaid,
    /// WeChat reports the order as closed: query; a new attempt needs a new number.
    Closed,
    /// Retry the same bytes at a slower pace.
    RateLimited,
    /// Fails until an operator fixes the configuration here or at WeChat; then retry the same bytes.
    Alert,
}

/// Maps a status and code to the reaction and whether to alert (the table of §8.3).
pub(super) fn reaction(api: Api, status: u16, code: Option<&PayCode>) -> (PayErrorClass, bool) {
    use PayErrorClass::{Alert, AlreadyPaid, Closed, Permanent, QueryFirst, RateLimited, Retry};
    let refunds = matches!(api, Api::PayRefund | Api::PayAbnormalRefund);
    let writes = refunds || matches!(api, Api::PayJsapi | Api::PayClose);
    let code = code.map(|code| normal(code.as_str()));
    let (class, alert) = match code.as_deref().unwrap_or_default() {
        // Invalid request: a defect of ours.
        "PARAMERROR" => (Permanent, true),
        // For orders and refunds also "parameters differ from before" and "already refunded".
        "INVALIDREQUEST" if refunds || api == Api::PayJsapi => (QueryFirst, true),
        "INVALIDREQUEST" => (Permanent, true),

        // The merchant account, its products and its keys.
        "APPIDMCHIDNOTMATCH" | "MCHNOTEXISTS" | "SIGNERROR" | "NOAUTH" => (Alert, true),

        // State of the order.
        "ORDERPAID" => (AlreadyPaid, false),
        "ORDERCLOSED" => (Closed, false),
        "OUTTRADENOUSED" => (QueryFirst, true),
        "TRADEERROR" => (QueryFirst, true),
        "ORDERNOTEXIST" => (QueryFirst, false),
        // Without a certificate and a configured public key nothing can be verified.
        "RESOURCENOTEXISTS" if api == Api::PayCertificates => (Alert, true),
        "RESOURCENOTEXISTS" => (QueryFirst, false),

        // The player.
        "OPENIDMISMATCH" | "ACCOUNTERROR" | "INVALIDTRANSACTIONID" => (Permanent, false),
        "USERACCOUNTABNORMAL" => (Permanent, true),

        // Balance: the merchant's for refunds (the same request succeeds once it is topped up), the
        // player's for orders.
        "NOTENOUGH" if refunds => (Alert, true),
        "NOTENOUGH" => (Permanent, false),
        "TRADEOVERDUE" | "REFUNDFEEMISMATCH" => (Permanent, true),

        // Rate limits. A refund that is "too frequent" may be in progress.
        "FREQUENCYLIMITED" | "RATELIMITEXCEEDED" if refunds => (QueryFirst, false),
        "FREQUENCYLIMITED" | "RATELIMITEXCEEDED" => (RateLimited, false),
        "RULELIMIT" => (RateLimited, true),
        "STATEMENTCREATING" => (RateLimited, false),

        // Faults of WeChat. A refund is queried, never blindly retried (§6.3).
        "SYSTEMERROR" | "BANKERROR" | "SERVICEUNAVAILABLE" if refunds => (QueryFirst, false),
        "SYSTEMERROR" | "BANKERROR" | "SERVICEUNAVAILABLE" => (Retry, false),

        "NOTFOUND" => (Permanent, true),
        "NOSTATEMENTEXIST" => (Permanent, false),

        // No code or an unknown one: by status.
        _ => match status {
            202 | 408 | 429 | 500.. if refunds => (QueryFirst, false),
            429 => (RateLimited, false),
            202 | 408 | 500.. => (Retry, false),
            401 => (Alert, true),
            400..=499 if writes => (QueryFirst, true),
            400..=499 => (Permanent, true),
            // A redirect does not come from WeChat Pay: the base URL is wrong.
            _ => (Alert, true),
        },
    };
    (class, alert)
}

#[cfg(test)]
#[path = "codes_tests.rs"]
mod tests;
