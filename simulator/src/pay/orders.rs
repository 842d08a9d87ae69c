//! The merchant's orders, their payments and states, and the blocked order numbers.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::answer::{DIGITS, random, random_text};
use super::times;

/// Default validity of an order, and the age at which the platform closes it.
pub(crate) const LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Validity of a `prepay_id`.
const PREPAY_LIFETIME: SignedDuration = SignedDuration::from_hours(2);

/// The state of an order: `NOTPAY → SUCCESS → REFUND` or `NOTPAY → CLOSED`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TradeState {
    NotPay,
    Success,
    Refund,
    Closed,
}

impl TradeState {
    pub(crate) fn as_str(self) -> &'static str {
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

/// An order of the merchant.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) out_trade_no: String,
    /// The body of the first request, which repeated ones must equal.
    pub(crate) request: Value,
    pub(crate) total: i64,
    pub(crate) openid: String,
    pub(crate) description: String,
    pub(crate) attach: Option<String>,
    pub(crate) notify_url: String,
    pub(crate) device_id: String,
    pub(crate) created: Timestamp,
    /// Time after which it can no longer be paid.
    pub(crate) expires: Timestamp,
    /// The current `prepay_id` and its time of issue.
    pub(crate) prepay: (String, Timestamp),
    pub(crate) is_closed: bool,
    pub(crate) payment: Option<Payment>,
    pub(crate) has_refund: bool,
}

/// The payment of an order.
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
            None if self.is_closed || now.duration_since(self.created) >= LIFETIME => {
                TradeState::Closed
            }
            None => TradeState::NotPay,
        }
    }

    pub(crate) fn prepay_is_usable(&self, now: Timestamp) -> bool {
        now.duration_since(self.prepay.1) < PREPAY_LIFETIME
    }

    /// Returns the order as the control routes represent it.
    pub(crate) fn view(&self, now: Timestamp) -> Value {
        let payment = self.payment.as_ref();
        json!({
            "outTradeNo": self.out_trade_no,
            "tradeState": self.state(now).as_str(),
            "total": self.total,
            "payerTotal": payment.map(|payment| payment.payer_total),
            "transactionId": payment.map(|payment| &payment.transaction_id),
            "successTime": payment.map(|payment| payment.time),
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

/// All orders, in creation order.
#[derive(Default)]
pub(crate) struct Orders {
    all: Vec<Order>,
    by_number: HashMap<String, usize>,
    by_prepay: HashMap<String, usize>,
    by_transaction: HashMap<String, usize>,
    blocked: HashSet<String>,
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

    pub(crate) fn find_by_transaction(&self, transaction_id: &str) -> Option<&Order> {
        self.all.get(*self.by_transaction.get(transaction_id)?)
    }

    /// Returns the order whose current `prepay_id` this is.
    pub(crate) fn find_by_prepay_id(&self, prepay_id: &str) -> Option<&Order> {
        self.all.get(*self.by_prepay.get(prepay_id)?)
    }

    /// Issues a new `prepay_id` for an order and invalidates the previous one.
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

    pub(crate) fn mark_paid(&mut self, out_trade_no: &str, payment: Payment) {
        let Some(&index) = self.by_number.get(out_trade_no) else {
            return;
        };
        if let Some(order) = self.all.get_mut(index) {
            self.by_transaction
                .insert(payment.transaction_id.clone(), index);
            order.payment = Some(payment);
        }
    }

    /// Blocks a number that was never ordered.
    pub(crate) fn block(&mut self, out_trade_no: &str) {
        self.blocked.insert(out_trade_no.to_owned());
    }

    pub(crate) fn is_blocked(&self, out_trade_no: &str) -> bool {
        self.blocked.contains(out_trade_no)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }
}

/// Generates a `prepay_id`: `wx`, day and time in Beijing, and hex digits; 36 characters.
pub(crate) fn prepay_id(now: Timestamp) -> String {
    let time = times::day_and_time(now);
    format!("wx{time}{}", hex::encode(random::<13>()))
}

/// Generates a transaction id: `4200`, six digits, the date, ten digits.
pub(crate) fn transaction_id(now: Timestamp) -> String {
    format!(
        "4200{}{}{}",
        random_text::<6>(DIGITS),
        times::compact_date(now),
        random_text::<10>(DIGITS)
    )
}
