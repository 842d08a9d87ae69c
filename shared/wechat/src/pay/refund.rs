//! `POST /v3/refund/domestic/refunds` and its query: gives money back (§6).

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::{PayClient, json as read};
use super::transaction::lenient_time;
use super::transport::{Repeat, Request};
use super::words::open_enum;
use super::{Fen, OutRefundNo, OutTradeNo, PayError, PaySettings, Reason, RefundId, TransactionId};
use crate::Api;

open_enum! {
    /// Where a refund stands (§6.3).
    RefundState {
        /// Accepted; the money is on its way.
        Processing = "PROCESSING",
        /// The money has arrived. Final.
        Success = "SUCCESS",
        /// Failed for good; a new try needs a new number.
        Closed = "CLOSED",
        /// Needs an operator; may still become a success.
        Abnormal = "ABNORMAL",
    }
}

/// Which payment to refund.
#[derive(Clone, Debug)]
pub enum RefundOf {
    /// By WeChat's id.
    Transaction(TransactionId),
    /// By our number.
    Order(OutTradeNo),
}

/// A refund as WeChat is told of it.
#[derive(Clone, Debug)]
pub struct RefundOrder {
    /// The payment.
    pub of: RefundOf,
    /// Our number of the refund. One number is one refund, however often it is sent.
    pub out_refund_no: OutRefundNo,
    /// What goes back; at least 1 fen.
    pub refund: Fen,
    /// What the order cost, before any refund.
    pub total: Fen,
    /// What the player reads.
    pub reason: Option<Reason>,
}

impl RefundOrder {
    /// The request body. Store it before the first send and send it as stored ever after.
    pub fn to_body(&self, settings: &PaySettings) -> String {
        let mut body = json!({
            "out_refund_no": self.out_refund_no,
            // Without one a v2 callback in XML may come (§6.4).
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

/// A refund as WeChat tells it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Refund {
    /// WeChat's id of it.
    pub refund_id: RefundId,
    /// Our number of it.
    pub out_refund_no: String,
    /// WeChat's id of the payment.
    pub transaction_id: TransactionId,
    /// Our number of the order.
    pub out_trade_no: String,
    /// Where it stands.
    #[serde(rename = "status")]
    pub state: RefundState,
    /// When WeChat accepted it.
    #[serde(default, deserialize_with = "lenient_time")]
    pub create_time: Option<Timestamp>,
    /// When the money arrived.
    #[serde(default, deserialize_with = "lenient_time")]
    pub success_time: Option<Timestamp>,
    /// Where the money goes, in words.
    pub user_received_account: Option<String>,
    /// The amounts.
    pub amount: RefundAmount,
}

/// The amounts of a refund.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RefundAmount {
    /// What the order cost.
    pub total: Fen,
    /// What goes back of it.
    pub refund: Fen,
    /// What the player had paid.
    pub payer_total: Option<Fen>,
    /// What the player gets back.
    pub payer_refund: Option<Fen>,
}

impl PayClient {
    /// Refunds with a body of [`RefundOrder::to_body`]. Success means accepted, not refunded.
    ///
    /// # Errors
    /// Any [`PayError`]. When the outcome is unknown its class is
    /// [`super::PayErrorClass::QueryFirst`]: the number must not change, and only when the query says
    /// that there is no such refund may the same bytes be sent again (§6.3).
    pub async fn submit_refund(&self, body: &str) -> Result<Refund, PayError> {
        let api = Api::PayRefund;
        let request = Request {
            api,
            method: Method::POST,
            path: api.path().to_owned(),
            query: None,
            body: Some(body),
            repeat: Repeat::IfUnsent,
        };
        self.call(&request, read).await
    }

    /// Asks where a refund stands.
    ///
    /// # Errors
    /// Any [`PayError`]; [`PayError::is_absent`] when WeChat never accepted it.
    pub async fn query_refund(&self, number: &OutRefundNo) -> Result<Refund, PayError> {
        let api = Api::PayRefundQuery;
        let request = Request::get(api, format!("{}/{number}", api.path()), None);
        self.call(&request, |body| {
            let refund: Refund = read(body)?;
            if refund.out_refund_no != number.as_str() {
                return Err("the answer is about another refund");
            }
            Ok(refund)
        })
        .await
    }
}
