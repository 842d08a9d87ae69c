//! The content of callbacks: the transaction or refund, and the envelope of the encrypted resource.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::random;
use super::orders::{Order, Payment, TradeState};
use super::refunds::Refund;
use super::{Pay, times};

/// Returns a paid order as queries and callbacks represent it.
pub(crate) fn transaction(pay: &Pay, order: &Order, payment: &Payment, now: Timestamp) -> Value {
    let state = match order.state(now) {
        TradeState::Refund => TradeState::Refund,
        // A forged callback reports an unpaid order as paid.
        _ => TradeState::Success,
    };
    let mut json = json!({
        "mchid": pay.mch_id,
        "appid": pay.world.settings.app_id,
        "out_trade_no": order.out_trade_no,
        "transaction_id": payment.transaction_id,
        "trade_type": "JSAPI",
        "trade_state": state.as_str(),
        "trade_state_desc": state.description(),
        "bank_type": "OTHERS",
        "success_time": times::rfc3339(payment.time),
        "payer": {"openid": order.openid},
        "amount": {
            "total": order.total,
            "payer_total": payment.payer_total,
            "currency": "CNY",
            "payer_currency": "CNY",
        },
    });
    if let Some(attach) = &order.attach {
        json["attach"] = attach.as_str().into();
    }
    let coupon = order.total - payment.payer_total;
    if coupon > 0 {
        json["promotion_detail"] = json!([{
            "coupon_id": "100001",
            "name": "coupon",
            "scope": "GLOBAL",
            "type": "CASH",
            "amount": coupon,
            "stock_id": "200001",
            "wechatpay_contribute": coupon,
            "merchant_contribute": 0,
            "other_contribute": 0,
            "currency": "CNY",
        }]);
    }
    json
}

/// Returns a refund as callbacks represent it, which differs from queries.
pub(crate) fn refund(pay: &Pay, refund: &Refund) -> Value {
    let mut json = json!({
        "mchid": pay.mch_id,
        "transaction_id": refund.transaction_id,
        "out_trade_no": refund.out_trade_no,
        "refund_id": refund.refund_id,
        "out_refund_no": refund.out_refund_no,
        "refund_status": refund.status.as_str(),
        "user_received_account": refund.user_received_account,
        "amount": {
            "total": refund.total,
            "refund": refund.refund,
            "payer_total": refund.payer_total,
            "payer_refund": refund.payer_refund,
        },
    });
    if let Some(time) = refund.succeeded {
        json["success_time"] = times::rfc3339(time).into();
    }
    json
}

/// Returns the envelope of an event. `original_type` is also the resource's associated data.
pub(crate) fn envelope(
    id: &str,
    event_type: &str,
    original_type: &str,
    summary: &str,
    mut resource: Value,
    now: Timestamp,
) -> Bytes {
    resource["original_type"] = original_type.into();
    let envelope = json!({
        "id": id,
        "create_time": times::rfc3339(now),
        "resource_type": "encrypt-resource",
        "event_type": event_type,
        "summary": summary,
        "resource": resource,
    });
    envelope.to_string().into()
}

/// Returns a random UUID marked as version 5, as in all observed callbacks.
pub(crate) fn event_id() -> String {
    let mut bytes = random::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x50;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    format!(
        "{}-{}-{}-{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..]
    )
}
