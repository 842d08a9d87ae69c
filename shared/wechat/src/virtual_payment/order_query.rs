//! `queryorderinfo`: the state of one purchase, by its order number.
//!
//! `POST /wxa/game/queryorderinfo`. An order that the client has not begun, or only just, is unknown.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Common, about};
use super::{Caller, TradeNo, VirtualPaymentClient, VirtualPaymentCode, VirtualPaymentError};
use crate::lenient::integer;
use crate::pay::TransactionId;
use crate::{Api, WechatError};

/// What an order buys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderKind {
    /// Coins (1).
    Coins,
    /// Items (2).
    Items,
}

impl OrderKind {
    const fn code(self) -> u8 {
        match self {
            Self::Coins => 1,
            Self::Items => 2,
        }
    }
}

/// The order to query.
#[derive(Clone, Copy, Debug)]
pub struct OrderQuery<'a> {
    /// Its number.
    pub out_trade_no: &'a TradeNo,
    /// What it buys.
    pub kind: OrderKind,
}

/// Whether an order was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayState {
    /// Not paid so far (1).
    Unpaid,
    /// Paid (2).
    Paid,
    /// A number that this version does not know; nothing may be concluded from it.
    Other(i64),
}

/// Whether WeChat counts an order as delivered: it does once our answer to the delivery push was a
/// success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliverState {
    /// Not delivered (1).
    Undelivered,
    /// Delivered (2).
    Delivered,
    /// A number that this version does not know.
    Other(i64),
}

/// An order as WeChat knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueriedOrder {
    /// Whether it was paid.
    pub pay_state: PayState,
    /// Whether it was delivered.
    pub deliver_state: Option<DeliverState>,
    /// The product in the console; absent for coins.
    pub product_id: Option<String>,
    /// Time of the payment.
    pub paid_at: Option<Timestamp>,
    /// WeChat Pay's merchant order number; absent unless paid through WeChat Pay.
    pub mch_order_no: Option<String>,
    /// WeChat Pay's id of the payment; absent unless paid through WeChat Pay.
    pub transaction_id: Option<TransactionId>,
}

#[derive(Deserialize)]
struct Response {
    out_trade_no: Option<String>,
    pay_state: Value,
    #[serde(default)]
    deliver_state: Value,
    #[serde(default)]
    pay_finish_time: Value,
    product_id: Option<String>,
    mch_order_no: Option<String>,
    transaction_id: Option<String>,
}

impl VirtualPaymentClient {
    /// Returns the state of an order; `None` when WeChat does not know it, or not yet: it is then not
    /// paid so far.
    ///
    /// # Errors
    /// Any [`VirtualPaymentError`].
    pub async fn query_order(
        &self,
        caller: &Caller<'_>,
        query: &OrderQuery<'_>,
    ) -> Result<Option<QueriedOrder>, VirtualPaymentError> {
        let body = body(&self.common(caller), query);
        let response: Response = match self.call(Api::VpayQueryOrder, caller, body).await {
            Err(error) if error.code() == Some(VirtualPaymentCode::UnknownOrder) => {
                return Ok(None);
            }
            answered => answered?,
        };
        Ok(Some(response.into_order(query.out_trade_no)?))
    }
}

fn body(common: &Common<'_>, query: &OrderQuery<'_>) -> String {
    common
        .object()
        .field("out_trade_no", query.out_trade_no.as_str())
        .field("biz_id", query.kind.code())
        .finish()
}

impl Response {
    fn into_order(self, ours: &TradeNo) -> Result<QueriedOrder, WechatError> {
        let api = Api::VpayQueryOrder;
        about(api, self.out_trade_no.as_deref(), ours.as_str())?;
        let pay_state = integer(&self.pay_state).ok_or(WechatError::Malformed {
            api,
            reason: "pay_state is not a number",
        })?;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(QueriedOrder {
            pay_state: match pay_state {
                1 => PayState::Unpaid,
                2 => PayState::Paid,
                other => PayState::Other(other),
            },
            deliver_state: integer(&self.deliver_state).map(|state| match state {
                1 => DeliverState::Undelivered,
                2 => DeliverState::Delivered,
                other => DeliverState::Other(other),
            }),
            product_id: given(self.product_id),
            paid_at: integer(&self.pay_finish_time)
                .filter(|seconds| *seconds > 0)
                .and_then(|seconds| Timestamp::from_second(seconds).ok()),
            mch_order_no: given(self.mch_order_no),
            transaction_id: given(self.transaction_id).map(TransactionId::new),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Env;
    use super::super::vectors::{Player, server_call, text};
    use super::*;

    fn order(number: &str, answer: &str) -> Result<QueriedOrder, WechatError> {
        let response: Response = serde_json::from_str(answer).unwrap();
        response.into_order(&TradeNo::parse(number).unwrap())
    }

    #[test]
    fn body_and_answer_are_those_of_the_vector() {
        let player = Player::in_env(Env::Production).at(1_790_000_100);
        let number = "01M9ZZ2Q4J7X6P1TV0SWBZ93CD";
        let query = OrderQuery {
            out_trade_no: &TradeNo::parse(number).unwrap(),
            kind: OrderKind::Items,
        };
        let vector = server_call("query an order of goods");
        assert_eq!(body(&player.common(), &query), text(&vector["body"]));
        let order = order(number, text(&vector["answer"])).unwrap();
        assert_eq!(order.pay_state, PayState::Paid);
        assert_eq!(order.deliver_state, Some(DeliverState::Undelivered));
        assert_eq!(order.paid_at.unwrap().as_second(), 1_790_000_050);
        assert_eq!(order.product_id.as_deref(), Some("golden-cup"));
        assert!(order.transaction_id.is_some() && order.mch_order_no.is_some());
    }

    #[test]
    fn apple_orders_and_new_states_are_read() {
        let unpaid = order("T1", r#"{"pay_state":"1","pay_finish_time":0}"#).unwrap();
        assert_eq!((unpaid.pay_state, unpaid.paid_at), (PayState::Unpaid, None));
        let apple = order("T1", r#"{"pay_state":2,"transaction_id":""}"#).unwrap();
        assert_eq!(
            (apple.pay_state, apple.transaction_id),
            (PayState::Paid, None)
        );
        let new = order("T1", r#"{"pay_state":3}"#).unwrap();
        assert_eq!(new.pay_state, PayState::Other(3));
    }

    #[test]
    fn answer_about_another_order_is_malformed() {
        let other = order("T1", r#"{"pay_state":2,"out_trade_no":"T2"}"#);
        assert!(matches!(other, Err(WechatError::Malformed { .. })));
        let no_state = order("T1", r#"{"pay_state":null}"#);
        assert!(matches!(no_state, Err(WechatError::Malformed { .. })));
    }
}
