//! The player pays: what the control routes can do that WeChat's client does.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::callbacks::Subject;
use super::control::Deny;
use super::orders::{self, Order, Payment, TradeState};
use super::{Pay, deliver, notification};

/// How the player pays.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wish {
    /// What the player pays when a coupon pays the rest; by default all.
    payer_total: Option<i64>,
    /// Whether the merchant is told.
    notify: Option<bool>,
}

/// What the client of a mini-game gives to `wx.requestPayment`, and the app it runs in.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RequestPayment {
    app_id: String,
    time_stamp: String,
    nonce_str: String,
    package: String,
    sign_type: String,
    pay_sign: String,
    payer_total: Option<i64>,
    notify: Option<bool>,
}

/// Pays an order, if it can be paid now.
pub(crate) fn pay_order(pay: &Arc<Pay>, out_trade_no: &str, wish: &Wish) -> Result<Value, Deny> {
    settle(pay, wish, |orders| orders.get(out_trade_no))
}

/// Pays the order of a `prepay_id`, if that can still be used.
pub(crate) fn pay_prepay(pay: &Arc<Pay>, prepay_id: &str, wish: &Wish) -> Result<Value, Deny> {
    let is_alive = {
        let state = pay.world.state();
        let now = state.now();
        let order = state.pay.orders.of_prepay(prepay_id);
        order.map(|order| order.prepay_is_alive(now))
    };
    match is_alive {
        None => Err(Deny::not_found(
            "no such prepay_id, or a newer one has taken its place",
        )),
        Some(false) => Err(Deny::conflict("the prepay_id is older than two hours")),
        Some(true) => settle(pay, wish, |orders| orders.of_prepay(prepay_id)),
    }
}

/// What `wx.requestPayment` does: nothing, unless the merchant has signed just this.
pub(crate) fn request_payment(pay: &Arc<Pay>, given: &RequestPayment) -> Result<Value, Deny> {
    let refuse = |why: &str| Err(Deny::bad_request(why));
    if given.sign_type != "RSA" {
        return refuse("signType is RSA");
    }
    if given.time_stamp.is_empty() || !given.time_stamp.bytes().all(|b| b.is_ascii_digit()) {
        return refuse("timeStamp is Unix seconds");
    }
    if !(1..=32).contains(&given.nonce_str.chars().count()) {
        return refuse("nonceStr has 1 to 32 characters");
    }
    let Some(prepay_id) = given.package.strip_prefix("prepay_id=") else {
        return refuse("package begins with prepay_id=");
    };
    let message = format!(
        "{}\n{}\n{}\n{}\n",
        given.app_id, given.time_stamp, given.nonce_str, given.package
    );
    if !pay
        .keys
        .merchant_signed(message.as_bytes(), &given.pay_sign)
    {
        return refuse("paySign is wrong");
    }
    if given.app_id != pay.world.settings.app_id {
        return refuse("the order is of another app");
    }
    let wish = Wish {
        payer_total: given.payer_total,
        notify: given.notify,
    };
    pay_prepay(pay, prepay_id, &wish)
}

fn settle(
    pay: &Arc<Pay>,
    wish: &Wish,
    find: impl Fn(&orders::Orders) -> Option<&Order>,
) -> Result<Value, Deny> {
    let (order, payment, now) = {
        let mut state = pay.world.state();
        let now = state.now();
        let state = &mut state.pay;
        let order = find(&state.orders).ok_or_else(|| Deny::not_found("no such order"))?;
        let order_state = order.state(now);
        if order_state != TradeState::NotPay {
            return Err(Deny::conflict(&format!(
                "the order is {}",
                order_state.word()
            )));
        }
        if now >= order.expires {
            return Err(Deny::conflict("the order has expired"));
        }
        let payer_total = wish.payer_total.unwrap_or(order.total);
        if !(0..=order.total).contains(&payer_total) {
            return Err(Deny::bad_request("payerTotal is from 0 to the total"));
        }
        let payment = Payment {
            transaction_id: orders::transaction_id(now),
            payer_total,
            time: now,
        };
        let order = order.clone();
        state.orders.paid(&order.out_trade_no, payment.clone());
        if let Some(balance) = &mut state.behaviour.balance_fen {
            *balance += order.total;
        }
        (order, payment, now)
    };
    let callback_id = wish.notify.unwrap_or(true).then(|| {
        let subject = Subject {
            event_type: "TRANSACTION.SUCCESS",
            original_type: "transaction",
            summary: "支付成功",
            out_trade_no: order.out_trade_no.clone(),
            out_refund_no: None,
            url: order.notify_url.clone(),
            plain: notification::transaction(pay, &order, &payment, now),
        };
        deliver::tell(pay, subject)
    });
    Ok(json!({
        "outTradeNo": order.out_trade_no,
        "transactionId": payment.transaction_id,
        "total": order.total,
        "payerTotal": payment.payer_total,
        "callbackId": callback_id,
    }))
}
