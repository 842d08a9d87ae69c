//! Callbacks: delivered, dropped, delayed, duplicated, reordered and retried.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::inbox::Inbox;
use super::merchant::{Merchant, OPENID, TEST, order};

/// Creates an order with the inbox's URL and pays it; returns the answer.
async fn pay(merchant: &Merchant, inbox: &Inbox, number: &str) -> Value {
    let mut body = order(number, 648);
    body["notify_url"] = json!(inbox.url);
    merchant.order(&body).await.ok();
    merchant.control(&format!("/orders/{number}/pay"), "").await
}

/// Lists the callbacks of an order.
async fn listed(merchant: &Merchant, number: &str) -> Vec<Value> {
    let list = merchant
        .sim
        .get(&format!("/pay/callbacks?outTradeNo={number}"))
        .await;
    list["callbacks"].as_array().unwrap().clone()
}

async fn wait_for_status(merchant: &Merchant, number: &str, status: &str) -> Value {
    for _ in 0..1000 {
        let callback = listed(merchant, number).await[0].clone();
        if callback["status"] == status {
            return callback;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never {status}: {:?}", listed(merchant, number).await);
}

#[tokio::test]
async fn payment_callback_is_signed_and_encrypted() {
    let merchant = Merchant::start().await;
    let inbox = Inbox::start(&[]).await;
    let done = pay(&merchant, &inbox, "T-000001").await;
    let delivery = inbox.wait(1).await.remove(0);
    assert_eq!(delivery.verify().unwrap(), TEST.platform_public_key_id);
    assert_eq!(delivery.headers["content-type"], "application/json");
    assert_eq!(delivery.headers.get("request-id"), None);
    let envelope = delivery.envelope();
    assert_eq!(envelope["id"], done["callbackId"]);
    assert_eq!(envelope["id"].as_str().unwrap().as_bytes()[14], b'5');
    assert_eq!(envelope["event_type"], "TRANSACTION.SUCCESS");
    assert_eq!(envelope["resource_type"], "encrypt-resource");
    assert_eq!(envelope["resource"]["original_type"], "transaction");
    let plain = delivery.plain();
    let mut queried = merchant.query("T-000001").await.ok();
    let fields = queried.as_object_mut().unwrap();
    fields.remove("promotion_detail");
    fields.remove("scene_info");
    assert_eq!(plain, queried);
    assert_eq!(plain["payer"]["openid"], OPENID);

    let callback = wait_for_status(&merchant, "T-000001", "delivered").await;
    assert_eq!(callback["attempts"][0]["status"], 204);
    assert_eq!(callback["attempts"][0]["signature"], "right");
    inbox.stays_at(1).await;
}

#[tokio::test]
async fn rejected_callback_is_retried_with_a_new_signature() {
    let merchant = Merchant::start().await;
    merchant
        .callback_settings(r#"{"retryScheduleMs":[30,60,90]}"#)
        .await;
    let inbox = Inbox::start(&[500, 401, 200]).await;
    pay(&merchant, &inbox, "T-000001").await;
    let deliveries = inbox.wait(3).await;
    for (delivery, pause) in deliveries.windows(2).zip([30, 60]) {
        assert_eq!(delivery[0].body, delivery[1].body);
        let signature = |n: usize| delivery[n].headers["wechatpay-signature"].clone();
        assert_ne!(signature(0), signature(1));
        assert!(delivery[1].verify().is_ok());
        let waited = delivery[1].at.duration_since(delivery[0].at).as_millis();
        assert!(waited >= pause, "{waited}");
    }
    let callback = wait_for_status(&merchant, "T-000001", "delivered").await;
    let statuses: Vec<_> = callback["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| attempt["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [500, 401, 200]);
    inbox.stays_at(3).await;
}

#[tokio::test]
async fn callback_fails_after_retries_and_can_be_repeated() {
    let merchant = Merchant::start().await;
    merchant
        .callback_settings(r#"{"retryScheduleMs":[1]}"#)
        .await;
    let inbox = Inbox::start(&[503, 503]).await;
    let done = pay(&merchant, &inbox, "T-000001").await;
    wait_for_status(&merchant, "T-000001", "failed").await;
    let id = done["callbackId"].as_str().unwrap();
    let path = format!("/callbacks/{id}/repeat");
    let callback = merchant.control(&path, r#"{"copies":2}"#).await;
    assert_eq!(callback["status"], "delivered");
    assert_eq!(callback["attempts"].as_array().unwrap().len(), 4);
    assert_eq!(inbox.deliveries().len(), 4);
    assert_eq!(
        merchant.try_control("/callbacks/none/repeat", "").await.0,
        404
    );
}

#[tokio::test]
async fn callback_times_out_after_five_seconds() {
    let merchant = Merchant::start().await;
    merchant
        .callback_settings(r#"{"retryScheduleMs":[]}"#)
        .await;
    let inbox = Inbox::start(&[]).await;
    inbox.pause(Duration::from_secs(6));
    pay(&merchant, &inbox, "T-000001").await;
    let callback = wait_for_status(&merchant, "T-000001", "failed").await;
    let attempt = &callback["attempts"][0];
    assert_eq!(attempt["error"], "timeout");
    assert!((5000..6000).contains(&attempt["durationMs"].as_u64().unwrap()));
}

#[tokio::test]
async fn callbacks_can_be_dropped_duplicated_and_delayed() {
    let merchant = Merchant::start().await;
    let inbox = Inbox::start(&[]).await;
    merchant.callback_settings(r#"{"mode":"drop"}"#).await;
    pay(&merchant, &inbox, "T-000001").await;
    inbox.stays_at(0).await;
    assert_eq!(listed(&merchant, "T-000001").await[0]["status"], "dropped");
    merchant
        .callback_settings(r#"{"mode":"normal","copies":3,"delayMs":60}"#)
        .await;
    let started = jiff::Timestamp::now();
    pay(&merchant, &inbox, "T-000002").await;
    let deliveries = inbox.wait(3).await;
    assert!(deliveries[0].at.duration_since(started).as_millis() >= 60);
    assert_eq!(deliveries[0].body, deliveries[2].body);
    inbox.stays_at(3).await;
}

#[tokio::test]
async fn held_callbacks_arrive_in_release_order() {
    let merchant = Merchant::start().await;
    let inbox = Inbox::start(&[]).await;
    merchant.callback_settings(r#"{"mode":"hold"}"#).await;
    let mut ids = Vec::new();
    for number in ["T-000001", "T-000002", "T-000003"] {
        let done = pay(&merchant, &inbox, number).await;
        ids.push(done["callbackId"].as_str().unwrap().to_owned());
    }
    inbox.stays_at(0).await;
    let body = json!({"ids": [ids[2], ids[0]]}).to_string();
    merchant.control("/callbacks/release", &body).await;
    assert_eq!(
        merchant.try_control("/callbacks/release", &body).await.0,
        409
    );
    merchant.control("/callbacks/release", "").await;
    let arrived: Vec<_> = inbox
        .deliveries()
        .iter()
        .map(|delivery| delivery.envelope()["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(arrived, [&*ids[2], &*ids[0], &*ids[1]]);
}

#[tokio::test]
async fn reorder_swaps_consecutive_callbacks() {
    let merchant = Merchant::start().await;
    let inbox = Inbox::start(&[]).await;
    merchant.callback_settings(r#"{"reorder":true}"#).await;
    for number in ["T-000001", "T-000002", "T-000003"] {
        pay(&merchant, &inbox, number).await;
    }
    let arrived: Vec<_> = inbox
        .wait(3)
        .await
        .iter()
        .map(|delivery| {
            delivery.plain()["out_trade_no"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(arrived, ["T-000002", "T-000001", "T-000003"]);
}

#[tokio::test]
async fn signature_probe_comes_first_and_never_delivers() {
    let merchant = Merchant::start().await;
    merchant
        .callback_settings(r#"{"signTest":true,"retryScheduleMs":[10]}"#)
        .await;
    // A merchant that accepts the probe is defective; the real callback follows nevertheless.
    let inbox = Inbox::start(&[200, 200]).await;
    pay(&merchant, &inbox, "T-000001").await;
    let deliveries = inbox.wait(2).await;
    let probe = deliveries[0].headers["wechatpay-signature"]
        .to_str()
        .unwrap();
    assert!(probe.starts_with("WECHATPAY/SIGNTEST/"), "{probe}");
    assert_eq!(deliveries[0].verify(), Err("wrong signature"));
    assert!(deliveries[1].verify().is_ok());
    let callback = wait_for_status(&merchant, "T-000001", "delivered").await;
    assert_eq!(callback["attempts"][0]["signature"], "signTest");
}

#[tokio::test]
async fn wrong_signatures_last_until_disabled() {
    let merchant = Merchant::start().await;
    merchant
        .callback_settings(r#"{"wrongSignature":true,"retryScheduleMs":[100]}"#)
        .await;
    let inbox = Inbox::start(&[401]).await;
    pay(&merchant, &inbox, "T-000001").await;
    assert_eq!(inbox.wait(1).await[0].verify(), Err("wrong signature"));
    merchant
        .callback_settings(r#"{"wrongSignature":false}"#)
        .await;
    assert!(inbox.wait(2).await[1].verify().is_ok());
}

#[tokio::test]
async fn reset_cancels_callbacks() {
    let merchant = Merchant::start().await;
    merchant
        .callback_settings(r#"{"retryScheduleMs":[50]}"#)
        .await;
    let inbox = Inbox::start(&[500]).await;
    pay(&merchant, &inbox, "T-000001").await;
    inbox.wait(1).await;
    let (status, _) = merchant.sim.control(Method::POST, "/reset", "").await;
    assert_eq!(status, 204);
    inbox.stays_at(1).await;
    let state = merchant.sim.get("/state").await;
    assert_eq!(state["pay"]["orders"], 0);
    assert_eq!(state["pay"]["callbacks"], 0);
    assert_eq!(state["pay"]["callbackSettings"]["retryScheduleMs"][0], 200);
}
