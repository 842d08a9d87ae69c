//! `POST /_sim/pay/callbacks/forge`: false callbacks that a merchant must reject. Most are validly
//! signed and encrypted; each is sent once, whatever the response.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::callbacks::{Callback, Status, Subject};
use super::control::ControlError;
use super::keys::{aead_key, encrypt_resource};
use super::orders::{Payment, transaction_id};
use super::{Pay, delivery, notification};

/// An APIv3 key that is not the merchant's.
const OTHER_API_V3_KEY: &[u8; 32] = b"another-merchants-api-v3-key-32!";

/// The defect of a forged callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Forgery {
    /// The amount is 1 fen too high.
    Amount,
    Currency,
    /// Another merchant.
    Mch,
    /// Another app.
    App,
    /// Another player.
    Openid,
    /// A `trade_state` other than `SUCCESS` under the event `TRANSACTION.SUCCESS`.
    State,
    /// An order unknown to the merchant.
    UnknownOrder,
    /// A transaction other than the one that paid the order.
    Transaction,
    /// An unknown event type.
    EventType,
    /// An invalid ciphertext.
    Ciphertext,
    /// Encrypted with another APIv3 key.
    ApiV3Key,
    Algorithm,
    /// A plaintext that is not JSON.
    NotJson,
    /// A coupon paid part of the total, which is valid and must be accepted.
    Coupon,
    /// Signed ten minutes ago.
    StaleTimestamp,
    UnknownSerial,
    /// A signature of another body.
    Signature,
    /// A signature with the prefix `WECHATPAY/SIGNTEST/`.
    SignTest,
}

/// The body of a forge request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ForgeRequest {
    out_trade_no: String,
    /// The refund that the callback reports; defaults to the order's payment.
    out_refund_no: Option<String>,
    kind: Forgery,
    /// Defaults to the URL of the order or refund.
    notify_url: Option<String>,
}

/// Forges a callback about an order, paid or not, or about a refund; sends it once, returns its id.
pub(crate) async fn forge(pay: &Arc<Pay>, request: ForgeRequest) -> Result<String, ControlError> {
    let callback = {
        let mut state = pay.world.state();
        let now = state.now();
        let order = state
            .pay
            .orders
            .get(&request.out_trade_no)
            .ok_or_else(|| ControlError::not_found("order not found"))?;
        let refund = match &request.out_refund_no {
            Some(number) => Some(
                state
                    .pay
                    .refunds
                    .get(number)
                    .ok_or_else(|| ControlError::not_found("refund not found"))?,
            ),
            None => None,
        };
        // An unpaid order is reported as just paid.
        let payment = order.payment.clone().unwrap_or_else(|| Payment {
            transaction_id: transaction_id(now),
            payer_total: order.total,
            time: now,
        });
        let mut plain = match refund {
            Some(refund) => notification::refund(pay, refund),
            None => notification::transaction(pay, order, &payment, now),
        };
        let (original_type, succeeded, state_field) = match refund {
            Some(_) => ("refund", "REFUND.SUCCESS", "refund_status"),
            None => ("transaction", "TRANSACTION.SUCCESS", "trade_state"),
        };
        plain[state_field] = "SUCCESS".into();
        let default_url = match refund {
            Some(refund) => refund.notify_url.as_ref(),
            None => Some(&order.notify_url),
        };
        let url = request
            .notify_url
            .or_else(|| default_url.cloned())
            .ok_or_else(|| ControlError::bad_request("the refund has no notifyUrl"))?;
        match (refund, request.kind) {
            (Some(refund), Forgery::Amount) => {
                plain["amount"]["refund"] = (refund.refund + 1).into();
            }
            (_, kind) => falsify(&mut plain, kind, order.total),
        }
        if request.kind == Forgery::Transaction {
            plain["transaction_id"] = transaction_id(now).into();
        }
        let resource = resource(pay, &plain, request.kind, original_type);
        let subject = Subject {
            event_type: match request.kind {
                Forgery::EventType => "TRANSACTION.UNHEARD_OF",
                _ => succeeded,
            },
            original_type,
            summary: match refund {
                Some(_) => "退款成功",
                None => "支付成功",
            },
            out_trade_no: request.out_trade_no,
            out_refund_no: request.out_refund_no,
            url,
            plain,
        };
        let mut callback = Callback::new(subject, resource, now);
        callback.forged = Some(request.kind);
        state.pay.callbacks.add(callback.clone());
        callback
    };
    delivery::attempt(pay, &callback.id).await;
    let mut state = pay.world.state();
    if let Some(callback) = state.pay.callbacks.get_mut(&callback.id)
        && callback.status == Status::Sending
    {
        callback.status = Status::Failed;
    }
    Ok(callback.id)
}

/// Falsifies the plaintext.
fn falsify(plain: &mut Value, kind: Forgery, total: i64) {
    match kind {
        Forgery::Amount => {
            plain["amount"]["total"] = (total + 1).into();
            plain["amount"]["payer_total"] = (total + 1).into();
        }
        Forgery::Currency => plain["amount"]["currency"] = "USD".into(),
        Forgery::Mch => plain["mchid"] = "1900099999".into(),
        Forgery::App => plain["appid"] = "wxfedcba9876543210".into(),
        Forgery::Openid => plain["payer"]["openid"] = "oSomebodyElse_0123456789abcd".into(),
        Forgery::State => {
            plain["trade_state"] = "NOTPAY".into();
            plain["trade_state_desc"] = "订单未支付".into();
        }
        Forgery::UnknownOrder => plain["out_trade_no"] = "NEVER-ORDERED-000001".into(),
        Forgery::Coupon => {
            plain["amount"]["payer_total"] = (total - total / 4).into();
            plain["promotion_detail"] = json!([{"coupon_id": "100001", "amount": total / 4}]);
        }
        _ => {}
    }
}

fn resource(pay: &Pay, plain: &Value, kind: Forgery, original_type: &str) -> Value {
    let text = match kind {
        Forgery::NotJson => "not JSON".to_owned(),
        _ => plain.to_string(),
    };
    let with_merchant_key = || pay.keys.encrypt(text.as_bytes(), original_type);
    let mut resource = match kind {
        Forgery::ApiV3Key => aead_key(OTHER_API_V3_KEY).map_or_else(with_merchant_key, |key| {
            encrypt_resource(&key, text.as_bytes(), original_type)
        }),
        _ => with_merchant_key(),
    };
    match kind {
        Forgery::Ciphertext => resource["ciphertext"] = "bm90IGEgY2lwaGVyIHRleHQgYXQgYWxs".into(),
        Forgery::Algorithm => resource["algorithm"] = "AEAD_SM4_GCM".into(),
        _ => {}
    }
    resource
}
