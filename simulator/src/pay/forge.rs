//! `POST /_sim/pay/callbacks/forge`: callbacks that say what is not so, for a merchant to refuse.
//! Most are rightly signed and encrypted; they are sent once, whatever is answered.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::callbacks::{Callback, Status, Subject};
use super::control::Deny;
use super::keys::{aead_key, encrypted};
use super::orders::{Payment, transaction_id};
use super::{Pay, deliver, notification};

/// Another APIv3 key than the merchant's.
const OTHER_API_V3_KEY: &[u8; 32] = b"another-merchants-api-v3-key-32!";

/// What is wrong with a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Forgery {
    /// An amount of 1 more.
    Amount,
    Currency,
    /// Another merchant.
    Mch,
    /// Another app.
    App,
    /// Another player.
    Openid,
    /// A `trade_state` that is not `SUCCESS`, under an event that says it is.
    State,
    /// An order that the merchant does not have.
    UnknownOrder,
    /// Another transaction than the one that paid the order.
    Transaction,
    /// An event that nobody knows.
    EventType,
    /// A cipher text that is none.
    Ciphertext,
    /// Encrypted with another APIv3 key.
    ApiV3Key,
    Algorithm,
    /// Something that decrypts to no JSON.
    NotJson,
    /// A coupon paid part of it, which is right and must be taken.
    Coupon,
    /// Signed ten minutes ago.
    StaleTimestamp,
    UnknownSerial,
    /// A signature of something else.
    Signature,
    /// A signature with `WECHATPAY/SIGNTEST/` in front.
    SignTest,
}

/// What is to be forged.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wish {
    out_trade_no: String,
    /// Of this refund of the order; by default of its payment.
    out_refund_no: Option<String>,
    kind: Forgery,
    /// Where to; by default where the order says.
    notify_url: Option<String>,
}

/// Makes a callback about an order, paid or not, or about a refund, and sends it once; gives its id.
pub(crate) async fn forge(pay: &Arc<Pay>, wish: Wish) -> Result<String, Deny> {
    let callback = {
        let mut state = pay.world.state();
        let now = state.now();
        let order = state
            .pay
            .orders
            .get(&wish.out_trade_no)
            .ok_or_else(|| Deny::not_found("no such order"))?;
        let refund = match &wish.out_refund_no {
            Some(number) => Some(
                state
                    .pay
                    .refunds
                    .get(number)
                    .ok_or_else(|| Deny::not_found("no such refund"))?,
            ),
            None => None,
        };
        // An order that is not paid looks as if it had just been.
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
        let usual_url = match refund {
            Some(refund) => refund.notify_url.as_ref(),
            None => Some(&order.notify_url),
        };
        let url = wish
            .notify_url
            .or_else(|| usual_url.cloned())
            .ok_or_else(|| Deny::bad_request("the refund has no notifyUrl"))?;
        match (refund, wish.kind) {
            (Some(refund), Forgery::Amount) => {
                plain["amount"]["refund"] = (refund.refund + 1).into();
            }
            (_, kind) => bend(&mut plain, kind, order.total),
        }
        if wish.kind == Forgery::Transaction {
            plain["transaction_id"] = transaction_id(now).into();
        }
        let resource = resource(pay, &plain, wish.kind, original_type);
        let subject = Subject {
            event_type: match wish.kind {
                Forgery::EventType => "TRANSACTION.UNHEARD_OF",
                _ => succeeded,
            },
            original_type,
            summary: match refund {
                Some(_) => "退款成功",
                None => "支付成功",
            },
            out_trade_no: wish.out_trade_no,
            out_refund_no: wish.out_refund_no,
            url,
            plain,
        };
        let mut callback = Callback::new(subject, resource, now);
        callback.forged = Some(wish.kind);
        state.pay.callbacks.add(callback.clone());
        callback
    };
    deliver::attempt(pay, &callback.id).await;
    let mut state = pay.world.state();
    if let Some(callback) = state.pay.callbacks.get_mut(&callback.id)
        && callback.status == Status::Sending
    {
        callback.status = Status::Failed;
    }
    Ok(callback.id)
}

/// Makes the plain text say what is not so.
fn bend(plain: &mut Value, kind: Forgery, total: i64) {
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
    let rightly = || pay.keys.encrypted(text.as_bytes(), original_type);
    let mut resource = match kind {
        Forgery::ApiV3Key => aead_key(OTHER_API_V3_KEY).map_or_else(rightly, |key| {
            encrypted(&key, text.as_bytes(), original_type)
        }),
        _ => rightly(),
    };
    match kind {
        Forgery::Ciphertext => resource["ciphertext"] = "bm90IGEgY2lwaGVyIHRleHQgYXQgYWxs".into(),
        Forgery::Algorithm => resource["algorithm"] = "AEAD_SM4_GCM".into(),
        _ => {}
    }
    resource
}
