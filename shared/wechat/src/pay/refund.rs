//! `POST /v3/refund/domestic/refunds` and its query: refunds payments (§6).

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::{PayClient, json as read};
use super::open_enum::open_enum;
use super::transaction::lenient_time;
use super::transport::{Repeat, Request};
use super::{Fen, OutRefundNo, OutTradeNo, PayError, PaySettings, Reason, RefundId, TransactionId};
use crate::Api;

open_enum! {
    /// State of a refund (§6.3).
    RefundState {
        /// Accepted; the money is on its way.
        Processing = "PROCESSING",
        /// The money has arrived. Final.
        Success = "SUCCESS",
        /// Failed permanently; a new attempt needs a new number.
        Closed = "CLOSED",
        /// Needs an operator; may still succeed.
        Abnormal = "ABNORMAL",
    }
}

/// Identifies the payment to refund.
#[derive(Clone, Debug)]
pub enum RefundOf {
    /// By WeChat's id.
    Transaction(TransactionId),
    /// By our number.
    Order(OutTradeNo),
}

/// A refund to be created at WeChat.
#[derive(Clone, Debug)]
pub struct RefundOrder {
    /// The payment to refund.
    pub of: RefundOf,
    /// Our refund number, which makes retries idempotent.
    pub out_refund_no: OutRefundNo,
    /// Amount to refund; at least 1 fen.
    pub refund: Fen,
    /// Price of the order, before any refund.
    pub total: Fen,
    /// Reason shown to the player.
    pub reason: Option<Reason>,
}

impl RefundOrder {
    /// Builds the request body. Store it before sending and resend it verbatim.
    pub fn to_body(&self, settings: &PaySettings) -> String {
        let mut body = json!({
            "out_refund_no": self.out_refund_no,
            // Without it WeChat may send a v2 callback in XML (§6.4).
            "notify_url": settings.refund_notify_url.as_str(),
            "amount": { "refund": self.refund, "total": self.total, "currency": "CNY" },
        });
        match &self.of {
            RefundOf::Transaction(id) => body["transaction_id"] = id.as_str().into(),
            RefundOf::Order(number) => body["out_trade_no"] = number.as_str().into(),
        }
        if let Some(reason) = &self.reason {
            body["reason"] = reason.as_str().into();
        }
        body.to_string()
    }
}

/// A refund as reported by WeChat.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Refund {
    /// WeChat's id of the refund.
    pub refund_id: RefundId,
    /// Our refund number.
    pub out_refund_no: String,
    /// WeChat's id of the payment.
    pub transaction_id: TransactionId,
    /// Our order number.
    pub out_trade_no: String,
    /// State of the refund.
    #[serde(rename = "status")]
    pub state: RefundState,
    /// Time at which WeChat accepted the refund.
    #[serde(default, deserialize_with = "lenient_time")]
    pub create_time: Option<Timestamp>,
    /// Time at which the money arrived.
    #[serde(default, deserialize_with = "lenient_time")]
    pub success_time: Option<Timestamp>,
    /// Description of the account that receives the money.
    pub user_received_account: Option<String>,
    /// Amounts of the order and the refund.
    pub amount: RefundAmount,
}

/// The amounts of a refund.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RefundAmount {
    /// Price of the order.
    pub total: Fen,
    /// Refunded part of `total`.
    pub refund: Fen,
    /// Amount paid by the player, after coupons.
    pub payer_total: Option<Fen>,
    /// Amount returned to the player.
    pub payer_refund: Option<Fen>,
}

impl PayClient {
    /// Creates a refund with a body from [`RefundOrder::to_body`]. Success means accepted, not refunded.
    ///
    /// # Errors
    /// Any [`PayError`]. An unknown outcome is of class [`super::PayErrorClass::QueryFirst`]: the
    /// number must not change, and the same bytes may be resent only after a query has reported that
    /// the refund does not exist (§6.3).
    pub async fn submit_refund(&self, body: &str) -> Result<Refund, PayError> {
        let api = Api::PayRefund;
        let request = Request {
            api,
            method: Method::POST,
            path: api.path().to_owned(),
            query: None,
            body: Some(body),
            repeat: Repeat::IfUnsent,
            encrypted_for: None,
        };
        self.call(&request, read).await
    }

    /// Queries the state of a refund.
    ///
    /// # Errors
    /// Any [`PayError`]; [`PayError::is_absent`] when WeChat never accepted it.
    pub async fn query_refund(&self, number: &OutRefundNo) -> Result<Refund, PayError> {
        let api = Api::PayRefundQuery;
        let request = Request::get(api, format!("{}/{number}", api.path()), None);
        self.call(&request, |body| {
            let refund: Refund = read(body)?;
            if refund.out_refund_no != number.as_str() {
                return Err("the response is about another refund");
            }
            Ok(refund)
        })
        .await
    }
}
