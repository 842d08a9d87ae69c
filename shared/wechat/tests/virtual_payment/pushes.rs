//! The simulator's pushes, read by the receiver: two implementations of the same protocol.

use avalon_wechat::message_push::{
    DecryptError, Event, PayEventError, Push, PushError, PushFormat, PushMode,
};
use serde_json::{Value, json};

use crate::inbox::{Inbox, receiver};
use crate::platform::{Platform, keys};

async fn start(is_plain: bool) -> (Platform, Inbox) {
    let inbox = Inbox::start(receiver(is_plain)).await;
    let platform = Platform::start().await;
    platform
        .put("/vpay/products/gems-60", r#"{"price":600}"#)
        .await;
    set(&platform, json!({"url": inbox.url, "scheduleMs": []})).await;
    (platform, inbox)
}

async fn set(platform: &Platform, settings: Value) {
    platform
        .put("/vpay/push-settings", &settings.to_string())
        .await;
}

/// Buys in the store and returns what was pushed; waits for the answer.
async fn buy(platform: &Platform) -> Value {
    let bought = json!({
        "openid": platform.player.open_id.as_str(), "productId": "gems-60", "quantity": 2,
        "notify": "first",
    });
    platform
        .post("/vpay/store-orders", &bought.to_string())
        .await
}

fn delivery(push: &Push) -> Result<String, PayEventError> {
    let Event::ItemDelivery(payload) = push.event().unwrap() else {
        panic!("another event");
    };
    payload
        .open(&keys())
        .map(|notice| notice.content.out_trade_no)
}

#[tokio::test]
async fn pushes_open_in_every_mode_and_format() {
    for (encryption, mode) in [
        ("plain", PushMode::Plain),
        ("compatible", PushMode::Secure),
        ("secure", PushMode::Secure),
    ] {
        let (platform, inbox) = start(encryption == "plain").await;
        for (n, format) in [PushFormat::Json, PushFormat::Xml].into_iter().enumerate() {
            let name = ["json", "xml"][n];
            set(&platform, json!({"encryption": encryption, "format": name})).await;
            let order = buy(&platform).await;
            assert_eq!(order["isDelivered"], true, "{encryption} {name}");
            let push = inbox.wait(n + 1).await.remove(n).unwrap();
            assert_eq!((push.mode, push.format), (mode, format));
            assert_eq!(
                delivery(&push).as_deref(),
                Ok(order["outTradeNo"].as_str().unwrap())
            );
        }
    }
}

#[tokio::test]
async fn url_of_the_console_is_verified() {
    let (platform, _inbox) = start(false).await;
    let verified = platform.post("/vpay/verify-url", "{}").await;
    assert_eq!(verified["verified"], true);
    set(&platform, json!({"wrongMsgSignature": true})).await;
    let refused = platform.post("/vpay/verify-url", "{}").await;
    assert_eq!(
        (&refused["verified"], &refused["status"]),
        (&json!(false), &json!(401))
    );
}

#[tokio::test]
async fn forged_pushes_are_refused_for_their_reason() {
    let (platform, inbox) = start(false).await;
    for (n, (settings, reason)) in [
        (json!({"wrongMsgSignature": true}), PushError::MsgSignature),
        (
            json!({"wrongMsgSignature": false, "otherApp": true}),
            PushError::Decrypt(DecryptError::OtherApp),
        ),
        (
            json!({"otherApp": false, "encryption": "plain"}),
            PushError::Plain,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        set(&platform, settings).await;
        let order = buy(&platform).await;
        assert_eq!(order["isDelivered"], false);
        let refused = inbox.wait(n + 1).await.remove(n);
        assert_eq!(refused.unwrap_err(), reason);
    }
}

#[tokio::test]
async fn wrong_payload_signature_opens_but_does_not_verify() {
    let (platform, inbox) = start(false).await;
    for (n, (kind, reason)) in [
        ("wrong", PayEventError::BadSignature),
        ("otherEnv", PayEventError::BadSignature),
        ("missing", PayEventError::NoSignature),
    ]
    .into_iter()
    .enumerate()
    {
        set(&platform, json!({"payEventSig": kind})).await;
        buy(&platform).await;
        let push = inbox.wait(n + 1).await.remove(n).unwrap();
        assert_eq!(delivery(&push), Err(reason), "{kind}");
    }
}

#[tokio::test]
async fn copies_share_one_duplicate_key() {
    let (platform, inbox) = start(false).await;
    set(&platform, json!({"copies": 20})).await;
    buy(&platform).await;
    let pushes = inbox.wait(20).await;
    let mut keys: Vec<_> = pushes
        .into_iter()
        .map(|push| push.unwrap().duplicate_key(&keys()))
        .collect();
    keys.dedup();
    assert_eq!(keys.len(), 1, "{keys:?}");
}

#[tokio::test]
async fn console_tests_are_marked_as_such() {
    let (platform, inbox) = start(false).await;
    let test = json!({"event": "minigame_game_pay_goods_deliver_notify"});
    let answered = platform.post("/vpay/pushes/test", &test.to_string()).await;
    assert_eq!(answered["status"], "accepted", "{answered}");
    let push = inbox.wait(1).await.remove(0).unwrap();
    let Event::ItemDelivery(payload) = push.event().unwrap() else {
        panic!("another event");
    };
    assert!(payload.open(&keys()).unwrap().is_mock);
}
