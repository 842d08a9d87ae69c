//! What callbacks say: the transaction or refund, encrypted, in its envelope.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::random;
use super::orders::{Order, Payment, TradeState};
use super::refunds::Refund;
use super::{Pay, times};

/// A paid order as queries and callbacks tell it.
pub(crate) fn transaction(pay: &Pay, order: &Order, payment: &Payment, now: Timestamp) -> Value {
    let state = match order.state(now) {
        TradeState::Refund => TradeState::Refund,
        // Also for a callback that is made up for an order that is not paid.
        _ => TradeState::Success,
    };
    let mut told = json!({
        "mchid": pay.mch_id,
        "appid": pay.world.settings.app_id,
        "out_trade_no": order.out_trade_no,
        "transaction_id": payment.transaction_id,
        "trade_type": "JSAPI",
        "trade_state": state.word(),
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
        told["attach"] = attach.as_str().into();
    }
    let coupon = order.total - payment.payer_total;
    if coupon > 0 {
        told["promotion_detail"] = json!([{
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
    told
}

/// A refund as callbacks tell it, which is not how queries do.
pub(crate) fn refund(pay: &Pay, refund: &Refund) -> Value {
    let mut told = json!({
        "mchid": pay.mch_id,
        "transaction_id": refund.transaction_id,
        "out_trade_no": refund.out_trade_no,
        "refund_id": refund.refund_id,
        "out_refund_no": refund.out_refund_no,
        "refund_status": refund.status.word(),
        "user_received_account": refund.account(),
        "amount": {
            "total": refund.total,
            "refund": refund.refund,
            "payer_total": refund.payer_total,
            "payer_refund": refund.payer_refund,
        },
    });
    if let Some(time) = refund.succeeded {
        told["success_time"] = times::rfc3339(time).into();
    }
    told
}

/// The envelope of an event. `original_type` is what the resource is and what binds its encryption.
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

/// A UUID of the shape of version 5, as in every callback seen.
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
