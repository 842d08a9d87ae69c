//! The settings of `PUT /_sim/pay/settings`: variants of WeChat Pay's behaviour on which documents
//! and reports differ, and conditions that a merchant has to handle.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::answer::PayError;

/// The behaviour of WeChat Pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PayBehaviour {
    /// The platform key that signs responses.
    pub key_mode: KeyMode,
    /// The outcome of accepted refunds.
    pub refund_outcome: RefundOutcome,
    /// Time for which an accepted refund stays `PROCESSING`, in milliseconds.
    pub refund_delay_ms: u64,
    /// Whether refunds with a `notify_url` trigger callbacks.
    pub refund_callbacks: bool,
    /// Whether an order becomes `REFUND` when a refund succeeds instead of when it is accepted.
    pub refund_state_on_success: bool,
    /// Minimum seconds between refunds of one order; WeChat documents 60.
    pub refund_spacing_seconds: u32,
    /// The merchant's balance in fen: payments increase it, refunds reduce it. None is unlimited.
    pub balance_fen: Option<i64>,
    /// The error for a reused order number with different parameters.
    pub duplicate_error: DuplicateError,
    /// The spelling of the error code for an order that is already paid.
    pub order_paid_code: OrderPaidCode,
    /// Whether repeating an order issues a new `prepay_id` and invalidates the old one.
    pub new_prepay_ids: bool,
    /// Whether a `notify_url` must be HTTPS on a public host, as WeChat requires.
    pub public_notify_urls: bool,
    /// Whether the bill of any day, including today, is available at once.
    pub bills_at_once: bool,
    /// Expiry of the older certificate in the list of certificates; none shows its real one.
    pub older_certificate_expires: Option<Timestamp>,
    /// Whether the merchant's serial is accepted in lower case too. WeChat documents upper case.
    pub any_serial_case: bool,
    /// Seconds after which an idle connection is closed; 0 is never. WeChat's limit is 8.
    pub keep_alive_seconds: u32,
    /// Number of upcoming successes with a wrong signature, prefixed `WECHATPAY/SIGNTEST/`.
    pub sign_test_responses: u32,
}

impl Default for PayBehaviour {
    fn default() -> Self {
        Self {
            key_mode: KeyMode::Both,
            refund_outcome: RefundOutcome::Success,
            refund_delay_ms: 500,
            refund_callbacks: true,
            refund_state_on_success: false,
            refund_spacing_seconds: 0,
            balance_fen: None,
            duplicate_error: DuplicateError::OutTradeNoUsed,
            order_paid_code: OrderPaidCode::Orderpaid,
            new_prepay_ids: false,
            public_notify_urls: false,
            bills_at_once: false,
            older_certificate_expires: None,
            any_serial_case: false,
            keep_alive_seconds: 8,
            sign_test_responses: 0,
        }
    }
}

/// The platform key that signs responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyMode {
    /// The public key if the request names it in `Wechatpay-Serial`, the certificate otherwise.
    Both,
    /// Always the public key; there are no certificates.
    PublicKeyOnly,
    /// Always the certificate, even if the request names the public key.
    CertificateOnly,
}

/// The outcome of accepted refunds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefundOutcome {
    /// The refund succeeds.
    Success,
    /// The player's card does not accept the money.
    Abnormal,
    /// The refund fails permanently.
    Closed,
    /// The refund stays `PROCESSING` until a control route finishes it.
    Processing,
}

/// The error for a reused order number with different parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DuplicateError {
    /// 403 `OUT_TRADE_NO_USED`, as documented.
    OutTradeNoUsed,
    /// 400 `INVALID_REQUEST`, as reported.
    InvalidRequest,
}

/// The spelling of the error code for an order that is already paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderPaidCode {
    /// `ORDERPAID`.
    Orderpaid,
    /// `ORDER_PAID`.
    OrderPaid,
}

impl PayBehaviour {
    /// Returns the error for an order that is already paid.
    pub(crate) fn order_paid(&self) -> PayError {
        let code = match self.order_paid_code {
            OrderPaidCode::Orderpaid => "ORDERPAID",
            OrderPaidCode::OrderPaid => "ORDER_PAID",
        };
        PayError::new(StatusCode::BAD_REQUEST, code, "该订单已支付").with_number(268_498_689)
    }

    /// Returns the error for a reused order number with different parameters.
    pub(crate) fn number_used(&self) -> PayError {
        match self.duplicate_error {
            DuplicateError::OutTradeNoUsed => PayError::new(
                StatusCode::FORBIDDEN,
                "OUT_TRADE_NO_USED",
                "商户订单号重复，请核实",
            ),
            DuplicateError::InvalidRequest => parameters_differ(),
        }
        .with_number(268_498_688)
    }
}

/// The error for a reused order number with different parameters, as reported.
pub(crate) fn parameters_differ() -> PayError {
    PayError::invalid_request("请求重入时，参数与首次请求时不一致").with_number(268_498_688)
}
