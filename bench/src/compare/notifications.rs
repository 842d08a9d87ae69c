//! Payment callbacks as WeChat sends them, encrypted and signed before a load starts: each takes longer to
//! create than to acknowledge.

use std::path::Path;
use std::sync::Arc;

use avalon_simulator::PayCredentials;
use avalon_test_support::FleetSettings;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use jiff::Timestamp;
use serde_json::json;

use super::keys::PlatformKey;
use super::seeds;
use crate::Outcome;
use crate::load::{HttpRequest, Requests};

/// The callback of one order.
struct Notification {
    body: Bytes,
    timestamp: String,
    nonce: String,
    signature: String,
}

/// The callbacks of the orders with these numbers, as requests; request `n` is that of order `n`.
pub(crate) async fn requests(key: &Path, orders: std::ops::Range<u64>) -> Outcome<Requests> {
    let threads = std::thread::available_parallelism().map_or(1, |number| number.get() as u64);
    let share = (orders.end - orders.start).div_ceil(threads).max(1);
    let mut signing = Vec::new();
    for thread in 0..threads {
        let first = (orders.start + thread * share).min(orders.end);
        let range = first..(first + share).min(orders.end);
        let key = PlatformKey::read(key)?;
        signing.push(tokio::task::spawn_blocking(move || {
            range
                .map(|order| notification(&key, order))
                .collect::<Outcome<Vec<_>>>()
        }));
    }
    let mut all = Vec::new();
    for part in signing {
        all.extend(part.await??);
    }
    let first = orders.start;
    Ok(Arc::new(move |number| {
        let index = usize::try_from(number - first).unwrap_or(usize::MAX);
        request(&all[index.min(all.len() - 1)])
    }))
}

/// The callback of one order, signed now.
pub(crate) fn signed(key: &PlatformKey, order: u64) -> Outcome<HttpRequest> {
    Ok(request(&notification(key, order)?))
}

fn request(of: &Notification) -> HttpRequest {
    Request::post("/api/wx/pay/notify")
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .header("wechatpay-timestamp", &of.timestamp)
        .header("wechatpay-nonce", &of.nonce)
        .header("wechatpay-signature", &of.signature)
        .header(
            "wechatpay-serial",
            PayCredentials::TEST.platform_public_key_id,
        )
        .header("wechatpay-signature-type", "WECHATPAY2-SHA256-RSA2048")
        .body(Full::new(of.body.clone()))
        .unwrap_or_default()
}

fn notification(key: &PlatformKey, order: u64) -> Outcome<Notification> {
    let (now, test) = (Timestamp::now(), PayCredentials::TEST);
    let transaction = json!({
        "appid": FleetSettings::APP_ID,
        "mchid": test.mch_id,
        "out_trade_no": seeds::order_id(order),
        "transaction_id": seeds::transaction_id(order),
        "trade_type": "JSAPI",
        "trade_state": "SUCCESS",
        "trade_state_desc": "支付成功",
        "bank_type": "OTHERS",
        "attach": "",
        "success_time": now.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string(),
        "payer": {"openid": seeds::open_id(order % seeds::PLAYERS)},
        "amount": {"total": seeds::PRICE, "payer_total": seeds::PRICE, "currency": "CNY", "payer_currency": "CNY"},
    });
    let nonce = format!("{order:012}");
    let (kind, id) = (
        "transaction",
        format!("{order:08}-0000-4000-8000-{order:012}"),
    );
    let body = json!({
        "id": id,
        "create_time": now.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string(),
        "event_type": "TRANSACTION.SUCCESS",
        "resource_type": "encrypt-resource",
        "summary": "支付成功",
        "resource": {
            "original_type": kind,
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": sealed(transaction.to_string(), &nonce, kind)?,
            "associated_data": kind,
            "nonce": nonce,
        },
    })
    .to_string();
    let (timestamp, nonce) = (now.as_second().to_string(), format!("{order:032}"));
    let signature = key.sign(&timestamp, &nonce, &body)?;
    Ok(Notification {
        body: body.into(),
        timestamp,
        nonce,
        signature,
    })
}

fn sealed(text: String, nonce: &str, associated_data: &str) -> Outcome<String> {
    let key = PayCredentials::TEST.api_v3_key.as_bytes();
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| "not an APIv3 key")?;
    let nonce = Nonce::try_assume_unique_for_key(nonce.as_bytes()).map_err(|_| "not a nonce")?;
    let mut sealed = text.into_bytes();
    LessSafeKey::new(key)
        .seal_in_place_append_tag(nonce, Aad::from(associated_data), &mut sealed)
        .map_err(|_| "AES-GCM cannot encrypt")?;
    Ok(BASE64_STANDARD.encode(sealed))
}
