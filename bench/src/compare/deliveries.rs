//! Deliveries of virtual payment as WeChat pushes them, signed and, in secure mode, encrypted before a load starts.

use std::sync::Arc;

use avalon_simulator::VirtualPaymentCredentials;
use avalon_test_support::FleetSettings;
use avalon_wechat::AppId;
use avalon_wechat::message_push::{
    EncodingAesKey, EncryptedReply, PushCredential, PushFormat, PushToken,
};
use avalon_wechat::virtual_payment::{AppKey, pay_event_sig};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::seeds;
use crate::Outcome;
use crate::load::Requests;

const EVENT: &str = "minigame_game_pay_goods_deliver_notify";
const SECURE_TOKEN: &str = "benchSecureToken";
const PLAIN_TOKEN: &str = "benchPlainToken";
const AES_KEY: &str = "Qm3xT7vJk2Lw9RzY4NcHs8Pf1DgUa5EoXbV6iKt0MyA";

/// How pushes are protected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Secure,
    Plain,
}

/// The value of `push.credentials`: one URL in secure mode, one in plain mode.
pub(crate) fn credentials() -> String {
    json!([
        {"name": "secure", "token": SECURE_TOKEN, "encoding_aes_key": AES_KEY},
        {"name": "plain", "token": PLAIN_TOKEN},
    ])
    .to_string()
}

struct Push {
    target: String,
    body: Bytes,
}

/// The deliveries of the orders with these numbers, as requests; request `n` is that of order `n`.
pub(crate) fn requests(mode: Mode, orders: std::ops::Range<u64>) -> Outcome<Requests> {
    let first = orders.start;
    let all = orders
        .map(|order| push(mode, order))
        .collect::<Outcome<Vec<_>>>()?;
    Ok(Arc::new(move |number| {
        let index = usize::try_from(number - first).unwrap_or(usize::MAX);
        let push = &all[index.min(all.len() - 1)];
        Request::post(push.target.as_str())
            .header("host", "127.0.0.1")
            .header("content-type", "application/json")
            .body(Full::new(push.body.clone()))
            .unwrap_or_default()
    }))
}

fn push(mode: Mode, order: u64) -> Outcome<Push> {
    let (now, nonce) = (Timestamp::now(), format!("{order:012}"));
    let message = message(order, now);
    let (token, key) = match mode {
        Mode::Secure => (SECURE_TOKEN, Some(EncodingAesKey::parse(AES_KEY)?)),
        Mode::Plain => (PLAIN_TOKEN, None),
    };
    let credential = PushCredential {
        name: String::new(),
        token: PushToken::new(token.into()),
        key,
    };
    if mode == Mode::Plain {
        let query = credential.verification(now.as_second(), &nonce, "");
        let signature = query.signature.unwrap_or_default();
        let at = now.as_second();
        return Ok(Push {
            target: format!("/api/wx/push?signature={signature}&timestamp={at}&nonce={nonce}"),
            body: message.into(),
        });
    }
    let random = (u128::from(order) << 64 | 7).to_le_bytes();
    // What we send to WeChat has the same form as what it sends to us.
    let app_id = AppId::new(FleetSettings::APP_ID);
    let sealed = EncryptedReply::seal(&credential, &app_id, &message, random, now, &nonce)
        .ok_or("the message cannot be encrypted")?;
    let sealed: Value = serde_json::from_str(&sealed.body(PushFormat::Json))?;
    let text = |name: &str| sealed[name].as_str().unwrap_or_default().to_owned();
    let (signature, at) = (text("MsgSignature"), now.as_second());
    Ok(Push {
        target: format!(
            "/api/wx/push?encrypt_type=aes&msg_signature={signature}&timestamp={at}&nonce={nonce}"
        ),
        body: json!({"ToUserName": "gh_bench", "Encrypt": text("Encrypt")})
            .to_string()
            .into(),
    })
}

fn message(order: u64, now: Timestamp) -> String {
    let payload = json!({
        "OpenId": seeds::open_id(order % seeds::PLAYERS),
        "Env": 0,
        "OutTradeNo": seeds::order_id(order),
        "WeChatPayInfo": {
            "MchOrderNo": format!("m{order}"), "TransactionId": seeds::transaction_id(order),
        },
        "GoodsInfo": {
            "ProductId": seeds::PRODUCT, "Quantity": 1, "ZoneId": "1", "OrigPrice": seeds::PRICE,
            "ActualPrice": seeds::PRICE, "Attach": "", "OrderSource": 1,
        },
    })
    .to_string();
    let key = AppKey::new(VirtualPaymentCredentials::TEST.app_key.into());
    let signature = pay_event_sig(&key, EVENT, &payload);
    json!({
        "ToUserName": "gh_bench",
        "FromUserName": "oWeChatOfficialSender000000x1",
        "CreateTime": now.as_second(),
        "MsgType": "event",
        "Event": EVENT,
        "MiniGame": {"Payload": payload, "PayEventSig": signature, "IsMock": false},
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use avalon_wechat::message_push::{PushCredentials, PushReceiver, PushSettings};

    use super::*;

    #[test]
    fn pushes_of_both_modes_are_authentic() {
        let credential = |token: &str, key: Option<&str>| PushCredential {
            name: token.to_owned(),
            token: PushToken::new(token.into()),
            key: key.map(|key| EncodingAesKey::parse(key).unwrap()),
        };
        let receiver = PushReceiver::new(PushSettings {
            app_id: AppId::new(FleetSettings::APP_ID),
            credentials: PushCredentials::new(vec![
                credential(SECURE_TOKEN, Some(AES_KEY)),
                credential(PLAIN_TOKEN, None),
            ])
            .unwrap(),
            allow_plain: true,
            max_skew: Some(Duration::from_secs(60)),
        });
        for mode in [Mode::Secure, Mode::Plain] {
            let push = push(mode, 7).unwrap();
            let (_, query) = push.target.split_once('?').unwrap();
            let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
            let query: serde_json::Map<String, Value> = pairs
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            let query = serde_json::from_value(query.into()).unwrap();
            let opened = receiver.open(&query, &push.body, Timestamp::now());
            assert!(opened.is_ok(), "{opened:?}");
        }
    }
}
