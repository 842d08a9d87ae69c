//! Payment by the player, as the control routes trigger it in place of WeChat's client.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::callbacks::Subject;
use super::control::ControlError;
use super::orders::{self, Order, Payment, TradeState};
use super::{Pay, delivery, notification};

/// Options of a payment.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PayOptions {
    /// Amount in fen paid by the player, a coupon paying the rest; defaults to the total.
    payer_total: Option<i64>,
    /// Whether to send a callback; defaults to true.
    notify: Option<bool>,
}

/// The parameters of `wx.requestPayment`, the app it runs in, and options of the payment.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RequestPayment {
    /// Not WeChat's: the service names the channel of its parameters, and clients pass them on as they are.
    #[serde(default, rename = "channel")]
    _channel: IgnoredAny,
    app_id: String,
    time_stamp: String,
    nonce_str: String,
    package: String,
    sign_type: String,
    pay_sign: String,
    payer_total: Option<i64>,
    notify: Option<bool>,
}

/// Pays an order if it is payable.
pub(crate) fn pay_order(
    pay: &Arc<Pay>,
    out_trade_no: &str,
    options: &PayOptions,
) -> Result<Value, ControlError> {
    settle(pay, options, |orders| orders.get(out_trade_no))
}

/// Pays the order of a `prepay_id` that is still usable.
pub(crate) fn pay_prepay(
    pay: &Arc<Pay>,
    prepay_id: &str,
    options: &PayOptions,
) -> Result<Value, ControlError> {
    let is_alive = {
        let state = pay.world.state();
        let now = state.now();
        let order = state.pay.orders.find_by_prepay_id(prepay_id);
        order.map(|order| order.prepay_is_usable(now))
    };
    match is_alive {
        None => Err(ControlError::not_found(
            "prepay_id not found, or superseded by a newer one",
        )),
        Some(false) => Err(ControlError::conflict(
            "the prepay_id has expired after two hours",
        )),
        Some(true) => settle(pay, options, |orders| orders.find_by_prepay_id(prepay_id)),
    }
}

/// Pays as `wx.requestPayment` does, after verifying the merchant's signature of the parameters.
pub(crate) fn request_payment(
    pay: &Arc<Pay>,
    parameters: &RequestPayment,
) -> Result<Value, ControlError> {
    let reject = |why: &str| Err(ControlError::bad_request(why));
    if parameters.sign_type != "RSA" {
        return reject("signType must be RSA");
    }
    if parameters.time_stamp.is_empty()
        || !parameters.time_stamp.bytes().all(|b| b.is_ascii_digit())
    {
        return reject("timeStamp must be Unix seconds");
    }
    if !(1..=32).contains(&parameters.nonce_str.chars().count()) {
        return reject("nonceStr must have 1 to 32 characters");
    }
    let Some(prepay_id) = parameters.package.strip_prefix("prepay_id=") else {
        return reject("package must begin with prepay_id=");
    };
    let message = format!(
        "{}\n{}\n{}\n{}\n",
        parameters.app_id, parameters.time_stamp, parameters.nonce_str, parameters.package
    );
    if !pay
        .keys
        .merchant_signed(message.as_bytes(), &parameters.pay_sign)
    {
        return reject("paySign is not the merchant's signature of these parameters");
    }
    if parameters.app_id != pay.world.settings.app_id {
        return reject("the order belongs to another app");
    }
    let options = PayOptions {
        payer_total: parameters.payer_total,
        notify: parameters.notify,
    };
    pay_prepay(pay, prepay_id, &options)
}

fn settle(
    pay: &Arc<Pay>,
    options: &PayOptions,
    find: impl Fn(&orders::Orders) -> Option<&Order>,
) -> Result<Value, ControlError> {
    let (order, payment, now) = {
        let mut state = pay.world.state();
        let now = state.now();
        let state = &mut state.pay;
        let order =
            find(&state.orders).ok_or_else(|| ControlError::not_found("order not found"))?;
        let order_state = order.state(now);
        if order_state != TradeState::NotPay {
            return Err(ControlError::conflict(&format!(
                "the order is {}",
                order_state.as_str()
            )));
        }
        if now >= order.expires {
            return Err(ControlError::conflict("the order has expired"));
        }
        let payer_total = options.payer_total.unwrap_or(order.total);
        if !(0..=order.total).contains(&payer_total) {
            return Err(ControlError::bad_request(
                "payerTotal must be from 0 to the order's total",
            ));
        }
        let payment = Payment {
            transaction_id: orders::transaction_id(now),
            payer_total,
            time: now,
        };
        let order = order.clone();
        state.orders.mark_paid(&order.out_trade_no, payment.clone());
        if let Some(balance) = &mut state.behaviour.balance_fen {
            *balance += order.total;
        }
        (order, payment, now)
    };
    let callback_id = options.notify.unwrap_or(true).then(|| {
        let subject = Subject {
            event_type: "TRANSACTION.SUCCESS",
            original_type: "transaction",
            summary: "支付成功",
            out_trade_no: order.out_trade_no.clone(),
            out_refund_no: None,
            url: order.notify_url.clone(),
            plain: notification::transaction(pay, &order, &payment, now),
        };
        delivery::notify(pay, subject)
    });
    Ok(json!({
        "outTradeNo": order.out_trade_no,
        "transactionId": payment.transaction_id,
        "total": order.total,
        "payerTotal": payment.payer_total,
        "callbackId": callback_id,
    }))
}
