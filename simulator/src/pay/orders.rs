//! The orders of the merchant: what was ordered, paid, closed, and which numbers are burnt.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::answer::{DIGITS, random, random_text};
use super::times;

/// How long an order can be paid when it does not say, and when the platform closes it.
pub(crate) const LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How long a `prepay_id` can be used.
const PREPAY_LIFE: SignedDuration = SignedDuration::from_hours(2);

/// What becomes of orders: `NOTPAY → SUCCESS → REFUND` or `NOTPAY → CLOSED`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TradeState {
    NotPay,
    Success,
    Refund,
    Closed,
}

impl TradeState {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::NotPay => "NOTPAY",
            Self::Success => "SUCCESS",
            Self::Refund => "REFUND",
            Self::Closed => "CLOSED",
        }
    }

    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::NotPay => "订单未支付",
            Self::Success => "支付成功",
            Self::Refund => "订单发生过退款",
            Self::Closed => "订单已关闭",
        }
    }
}

/// One order.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) out_trade_no: String,
    /// The body of the first request, which those that come again must equal.
    pub(crate) request: Value,
    pub(crate) total: i64,
    pub(crate) openid: String,
    pub(crate) description: String,
    pub(crate) attach: Option<String>,
    pub(crate) notify_url: String,
    pub(crate) device_id: String,
    pub(crate) created: Timestamp,
    /// Until when it can be paid.
    pub(crate) expires: Timestamp,
    /// The one that can be used, and since when.
    pub(crate) prepay: (String, Timestamp),
    pub(crate) is_closed: bool,
    pub(crate) payment: Option<Payment>,
    pub(crate) has_refund: bool,
}

/// How an order was paid.
#[derive(Clone)]
pub(crate) struct Payment {
    pub(crate) transaction_id: String,
    pub(crate) payer_total: i64,
    pub(crate) time: Timestamp,
}

impl Order {
    pub(crate) fn state(&self, now: Timestamp) -> TradeState {
        match self.payment {
            Some(_) if self.has_refund => TradeState::Refund,
            Some(_) => TradeState::Success,
            None if self.is_closed || now.duration_since(self.created) >= LIFE => {
                TradeState::Closed
            }
            None => TradeState::NotPay,
        }
    }

    pub(crate) fn prepay_is_alive(&self, now: Timestamp) -> bool {
        now.duration_since(self.prepay.1) < PREPAY_LIFE
    }

    /// The order as the control routes show it.
    pub(crate) fn shown(&self, now: Timestamp) -> Value {
        let paid = self.payment.as_ref();
        json!({
            "outTradeNo": self.out_trade_no,
            "tradeState": self.state(now).word(),
            "total": self.total,
            "payerTotal": paid.map(|paid| paid.payer_total),
            "transactionId": paid.map(|paid| &paid.transaction_id),
            "successTime": paid.map(|paid| paid.time),
            "openid": self.openid,
            "description": self.description,
            "attach": self.attach,
            "notifyUrl": self.notify_url,
            "createdAt": self.created,
            "expiresAt": self.expires,
            "prepayId": self.prepay.0,
            "request": self.request,
        })
    }
}

/// All orders, in the order in which they came.
#[derive(Default)]
pub(crate) struct Orders {
    all: Vec<Order>,
    by_number: HashMap<String, usize>,
    by_prepay: HashMap<String, usize>,
    by_transaction: HashMap<String, usize>,
    burnt: HashSet<String>,
}

impl Orders {
    pub(crate) fn add(&mut self, order: Order) {
        let index = self.all.len();
        self.by_number.insert(order.out_trade_no.clone(), index);
        self.by_prepay.insert(order.prepay.0.clone(), index);
        self.all.push(order);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Order> {
        self.all.iter()
    }

    pub(crate) fn get(&self, out_trade_no: &str) -> Option<&Order> {
        self.all.get(*self.by_number.get(out_trade_no)?)
    }

    pub(crate) fn get_mut(&mut self, out_trade_no: &str) -> Option<&mut Order> {
        self.all.get_mut(*self.by_number.get(out_trade_no)?)
    }

    pub(crate) fn of_transaction(&self, transaction_id: &str) -> Option<&Order> {
        self.all.get(*self.by_transaction.get(transaction_id)?)
    }

    /// The order whose `prepay_id` this is now.
    pub(crate) fn of_prepay(&self, prepay_id: &str) -> Option<&Order> {
        self.all.get(*self.by_prepay.get(prepay_id)?)
    }

    /// Gives an order a new `prepay_id`; the one before is dead.
    pub(crate) fn renew_prepay(&mut self, out_trade_no: &str, now: Timestamp) {
        let Some(&index) = self.by_number.get(out_trade_no) else {
            return;
        };
        if let Some(order) = self.all.get_mut(index) {
            self.by_prepay.remove(&order.prepay.0);
            order.prepay = (prepay_id(now), now);
            self.by_prepay.insert(order.prepay.0.clone(), index);
        }
    }

    pub(crate) fn paid(&mut self, out_trade_no: &str, payment: Payment) {
        let Some(&index) = self.by_number.get(out_trade_no) else {
            return;
        };
        if let Some(order) = self.all.get_mut(index) {
            self.by_transaction
                .insert(payment.transaction_id.clone(), index);
            order.payment = Some(payment);
        }
    }

    /// Makes a number that was never ordered useless.
    pub(crate) fn burn(&mut self, out_trade_no: &str) {
        self.burnt.insert(out_trade_no.to_owned());
    }

    pub(crate) fn is_burnt(&self, out_trade_no: &str) -> bool {
        self.burnt.contains(out_trade_no)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }
}

/// `wx`, day and time in Beijing, and hex digits: 36 characters.
pub(crate) fn prepay_id(now: Timestamp) -> String {
    let time = times::day_and_time(now);
    format!("wx{time}{}", hex::encode(random::<13>()))
}

/// `4200`, six digits, the date, ten digits.
pub(crate) fn transaction_id(now: Timestamp) -> String {
    format!(
        "4200{}{}{}",
        random_text::<6>(DIGITS),
        times::compact_date(now),
        random_text::<10>(DIGITS)
    )
}
