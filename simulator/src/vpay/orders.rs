//! The orders that clients began, and their payments.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::state::Env;

/// What an order buys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Item {
    Coins,
    Product(String),
}

/// The numbers of WeChat Pay; payments through Apple have none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WechatPay {
    pub(crate) mch_order_no: String,
    pub(crate) transaction_id: String,
}

/// The payment of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Paid {
    pub(crate) at: Timestamp,
    pub(crate) wechat_pay: Option<WechatPay>,
}

/// Where an order began, `OrderSource` on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Source {
    Game,
    Store,
    StoreTest,
}

impl Source {
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Game => 1,
            Self::Store => 2,
            Self::StoreTest => 3,
        }
    }
}

/// An order.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Order {
    pub(crate) out_trade_no: String,
    pub(crate) openid: String,
    pub(crate) env: Env,
    pub(crate) zone: String,
    pub(crate) item: Item,
    pub(crate) quantity: i64,
    /// Price of one piece in fen.
    pub(crate) price: i64,
    pub(crate) attach: Option<String>,
    pub(crate) source: Source,
    /// Time at which the client began it, of the clock that can be advanced.
    pub(crate) begun_at: Timestamp,
    /// The text that the client signed; another one under the same number is a duplicate.
    #[serde(skip)]
    pub(crate) sign_data: String,
    pub(crate) is_closed: bool,
    pub(crate) paid: Option<Paid>,
    /// Whether our server answered the delivery push with a success.
    pub(crate) is_delivered: bool,
    pub(crate) refunded: i64,
}

impl Order {
    pub(crate) fn total(&self) -> i64 {
        self.price.saturating_mul(self.quantity)
    }
}

/// All orders.
#[derive(Default)]
pub(crate) struct Orders(BTreeMap<(Env, String), Order>);

impl Orders {
    pub(crate) fn get(&self, env: Env, number: &str) -> Option<&Order> {
        self.0.get(&(env, number.to_owned()))
    }

    pub(crate) fn get_mut(&mut self, env: Env, number: &str) -> Option<&mut Order> {
        self.0.get_mut(&(env, number.to_owned()))
    }

    pub(crate) fn insert(&mut self, order: Order) {
        let key = (order.env, order.out_trade_no.clone());
        self.0.insert(key, order);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Order> {
        self.0.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
