//! What `PUT /_sim/pay/settings` changes: where reports about WeChat Pay differ, and what it does to
//! a merchant.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::answer::PayError;

/// How WeChat Pay behaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PayBehaviour {
    /// Which of its keys the platform signs with.
    pub key_mode: KeyMode,
    /// What becomes of a refund that is accepted.
    pub refund_outcome: RefundOutcome,
    /// How long an accepted refund stays `PROCESSING`, in milliseconds.
    pub refund_delay_ms: u64,
    /// Whether refunds with a `notify_url` are told of.
    pub refund_callbacks: bool,
    /// Whether an order turns `REFUND` when a refund succeeds; by default when it is accepted.
    pub refund_state_on_success: bool,
    /// How far the refunds of one order must be apart; documented: 60 seconds.
    pub refund_spacing_seconds: u32,
    /// What the merchant has to pay refunds from: grows with payments, shrinks with refunds. None:
    /// always enough.
    pub balance_fen: Option<i64>,
    /// How a number is refused that comes again with other parameters.
    pub duplicate_error: DuplicateError,
    /// How the code is spelt that says that an order is paid.
    pub order_paid_code: OrderPaidCode,
    /// Whether an order that comes again gets a new `prepay_id` and loses the old one.
    pub new_prepay_ids: bool,
    /// Whether a `notify_url` must be HTTPS on a public host, as WeChat demands.
    pub public_notify_urls: bool,
    /// Whether the bill of any day, today included, can be had at once.
    pub bills_at_once: bool,
    /// When the older certificate expires by the list of certificates; none: when it does.
    pub older_certificate_expires: Option<Timestamp>,
    /// How many of the next successes are signed wrongly, with `WECHATPAY/SIGNTEST/` in front.
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
            sign_test_responses: 0,
        }
    }
}

/// Which of its keys the platform signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyMode {
    /// The public key for who names it in `Wechatpay-Serial`, the certificate for others.
    Both,
    /// The public key for all; there are no certificates.
    PublicKeyOnly,
    /// The certificate for all, also for who names the public key.
    CertificateOnly,
}

/// What becomes of a refund that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefundOutcome {
    /// The money goes back.
    Success,
    /// The player's card takes no money.
    Abnormal,
    /// It fails for good.
    Closed,
    /// Nothing, until a control route ends it.
    Processing,
}

/// How a number is refused that comes again with other parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DuplicateError {
    /// 403 `OUT_TRADE_NO_USED`, as documented.
    OutTradeNoUsed,
    /// 400 `INVALID_REQUEST`, as reported.
    InvalidRequest,
}

/// How the code is spelt that says that an order is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OrderPaidCode {
    /// `ORDERPAID`.
    Orderpaid,
    /// `ORDER_PAID`.
    OrderPaid,
}

impl PayBehaviour {
    /// That the order is paid already.
    pub(crate) fn order_paid(&self) -> PayError {
        let code = match self.order_paid_code {
            OrderPaidCode::Orderpaid => "ORDERPAID",
            OrderPaidCode::OrderPaid => "ORDER_PAID",
        };
        PayError::new(StatusCode::BAD_REQUEST, code, "该订单已支付").numbered(268_498_689)
    }

    /// That the number came before, with other parameters.
    pub(crate) fn number_used(&self) -> PayError {
        match self.duplicate_error {
            DuplicateError::OutTradeNoUsed => PayError::new(
                StatusCode::FORBIDDEN,
                "OUT_TRADE_NO_USED",
                "商户订单号重复，请核实",
            ),
            DuplicateError::InvalidRequest => reentry_differs(),
        }
        .numbered(268_498_688)
    }
}

/// That the number came before, with other parameters, as it was reported.
pub(crate) fn reentry_differs() -> PayError {
    PayError::invalid_request("请求重入时，参数与首次请求时不一致").numbered(268_498_688)
}
