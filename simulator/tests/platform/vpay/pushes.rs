//! Pushes: modes, copies, repeats, forged signatures, and the required answers.

use std::collections::BTreeSet;

use serde_json::json;

use super::app::App;
use super::inbox::Inbox;

#[tokio::test]
async fn url_is_verified() {
    let inbox = Inbox::start(&[]).await;
    let app = App::start(Some(&inbox.url)).await;
    let verified = app.post("/verify-url", json!({})).await;
    assert_eq!(verified["verified"], true, "{verified}");
}

#[tokio::test]
async fn secure_push_shows_only_the_ciphertext() {
    let inbox = Inbox::start(&[]).await;
    let app = App::start(Some(&inbox.url)).await;
    assert_eq!(app.code(&App::item_order("T1"), json!({})).await, 0);
    let push = inbox.wait(1).await.remove(0);
    assert_eq!(push.query["encrypt_type"], "aes");
    assert_eq!(push.query["msg_signature"].len(), 40);
    let body = push.json();
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    // Long enough not to occur in base64 by chance.
    assert!(!push.body.contains("OutTradeNo"), "{body}");
}

#[tokio::test]
async fn compatible_push_has_both() {
    let inbox = Inbox::start(&[]).await;
    let app = App::start(Some(&inbox.url)).await;
    app.put("/push-settings", json!({"encryption": "compatible"}))
        .await;
    assert_eq!(app.code(&App::item_order("T1"), json!({})).await, 0);
    let push = inbox.wait(1).await.remove(0);
    assert!(push.json()["Encrypt"].is_string());
    assert_eq!(push.payload()["OutTradeNo"], "T1");
}

#[tokio::test]
async fn twenty_copies_arrive_at_once() {
    let inbox = Inbox::start(&[]).await;
    let app = App::start(Some(&inbox.url)).await;
    app.put("/push-settings", json!({"copies": 20})).await;
    assert_eq!(
        app.code(&App::item_order("T1"), json!({"notify": "first"}))
            .await,
        0
    );
    assert_eq!(inbox.received().len(), 20);
    for copies in [0, 101] {
        let settings = json!({"copies": copies}).to_string();
        let put = reqwest::Method::PUT;
        let (status, _) = app.sim.control(put, "/vpay/push-settings", &settings).await;
        assert_eq!(status, 400);
    }
}

#[tokio::test]
async fn refused_push_is_repeated_until_accepted() {
    let inbox = Inbox::start(&["success", r#"{"ErrCode":99999}"#]).await;
    let app = App::start(Some(&inbox.url)).await;
    app.put("/push-settings", json!({"scheduleMs": [1, 1, 1, 1]}))
        .await;
    assert_eq!(app.code(&App::item_order("T1"), json!({})).await, 0);
    inbox.wait(3).await;
    app.delivered("T1").await;
    let pushes = app.sim.get("/vpay/pushes?outTradeNo=T1").await;
    let push = &pushes["pushes"][0];
    assert_eq!(push["status"], "accepted");
    let accepted = |attempt: &serde_json::Value| attempt["isAccepted"] == true;
    let accepted: Vec<_> = push["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(accepted)
        .collect();
    assert_eq!(accepted, [false, false, true]);
    assert_eq!(inbox.received().len(), 3);
}

#[tokio::test]
async fn held_and_dropped_pushes_do_not_arrive() {
    let inbox = Inbox::start(&[]).await;
    let app = App::start(Some(&inbox.url)).await;
    app.put("/push-settings", json!({"mode": "drop"})).await;
    assert_eq!(app.code(&App::item_order("T1"), json!({})).await, 0);
    app.put("/push-settings", json!({"mode": "hold"})).await;
    assert_eq!(app.code(&App::item_order("T2"), json!({})).await, 0);
    assert!(inbox.received().is_empty());
    let released = app.post("/pushes/release", json!({})).await;
    assert_eq!(released["released"], json!([1]));
    assert_eq!(inbox.received().len(), 1);
    app.post("/pushes/0/repeat", json!({"copies": 2})).await;
    assert_eq!(inbox.received().len(), 3);
}

#[tokio::test]
async fn payload_signature_may_be_wrong_or_missing() {
    let inbox = Inbox::start(&[]).await;
    let app = App::start(Some(&inbox.url)).await;
    app.put("/push-settings", json!({"encryption": "plain"}))
        .await;
    assert_eq!(
        app.code(&App::item_order("T1"), json!({"notify": "first"}))
            .await,
        0
    );
    let mut signatures = vec![inbox.received()[0].json()["MiniGame"]["PayEventSig"].clone()];
    for kind in ["wrong", "otherEnv", "missing"] {
        app.put("/push-settings", json!({"payEventSig": kind}))
            .await;
        app.post("/pushes/0/repeat", json!({})).await;
        let last = inbox.received().pop().unwrap();
        signatures.push(last.json()["MiniGame"]["PayEventSig"].clone());
    }
    assert!(signatures[..3].iter().all(serde_json::Value::is_string));
    assert!(signatures[3].is_null());
    let distinct: BTreeSet<_> = signatures.iter().map(ToString::to_string).collect();
    assert_eq!(distinct.len(), 4, "{signatures:?}");
}

#[tokio::test]
async fn test_push_is_sent_once_and_marked() {
    let inbox = Inbox::start(&[]).await;
    let app = App::start(Some(&inbox.url)).await;
    app.put("/push-settings", json!({"encryption": "plain"}))
        .await;
    for event in [
        "minigame_game_pay_goods_deliver_notify",
        "minigame_h5_goods_deliver_notify",
        "minigame_coin_deliver_completed",
        "minigame_pay_refund_succ_notify",
    ] {
        let push = app.post("/pushes/test", json!({"event": event})).await;
        assert_eq!(push["status"], "accepted", "{push}");
        let last = inbox.received().pop().unwrap().json();
        assert_eq!(
            (&last["MiniGame"]["IsMock"], &last["Event"]),
            (&json!(true), &json!(event))
        );
    }
    assert_eq!(inbox.received().len(), 4);
}

#[tokio::test]
async fn other_events_are_pushed_in_json_and_xml() {
    let inbox = Inbox::start(&["success", "success"]).await;
    let app = App::start(Some(&inbox.url)).await;
    app.put(
        "/push-settings",
        json!({"encryption": "plain", "format": "xml"}),
    )
    .await;
    let gift = json!({
        "event": "minigame_deliver_goods", "openid": app.openid, "answer": "success",
        "fields": {"MiniGame": {"OrderId": "r1", "GoodsList": [{"Id": "a]]>", "Num": 1}, {"Id": "b", "Num": 2}]}},
    });
    let push = app.post("/pushes", gift).await;
    assert_eq!(
        (&push["status"], &push["ladder"]),
        (&json!("accepted"), &json!("gift"))
    );
    let body = inbox.received()[0].body.clone();
    assert!(
        body.contains("<GoodsList><Id><![CDATA[a]]]]><![CDATA[>]]></Id>"),
        "{body}"
    );
    assert_eq!(body.matches("<GoodsList>").count(), 2);
    let event = json!({
        "event": "user_authorization_cancellation", "openid": app.openid,
        "fields": {"OpenID": app.openid},
    });
    let push = app.post("/pushes", event).await;
    assert_eq!(
        (&push["status"], &push["ladder"]),
        (&json!("accepted"), &json!("other"))
    );
}
