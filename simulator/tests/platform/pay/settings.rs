//! The settings of WeChat Pay: validation, partial changes and reset.

use reqwest::Method;
use serde_json::json;

use super::merchant::{Merchant, order};
use crate::harness::TestSimulator;

#[tokio::test]
async fn settings_change_individually_and_reset() {
    let merchant = Merchant::start().await;
    let before = merchant.settings("{}").await;
    let changed = merchant
        .settings(r#"{"refundDelayMs":7,"keyMode":"publicKeyOnly"}"#)
        .await;
    let mut expected = before.clone();
    expected["refundDelayMs"] = json!(7);
    expected["keyMode"] = json!("publicKeyOnly");
    assert_eq!(changed, expected);
    merchant.sim.control(Method::POST, "/reset", "").await;
    assert_eq!(merchant.settings("{}").await, before);
}

#[tokio::test]
async fn invalid_settings_change_nothing() {
    let merchant = Merchant::start().await;
    for (path, body) in [
        ("/pay/settings", r#"{"keyMode":"none"}"#),
        ("/pay/settings", r#"{"unknown":"value"}"#),
        ("/pay/settings", r#"{"refundDelayMs":-1}"#),
        ("/pay/callbacks", r#"{"mode":"maybe"}"#),
        ("/pay/callbacks", r#"{"copies":0}"#),
        ("/pay/callbacks", r#"{"retryScheduleMs":"never"}"#),
    ] {
        let (status, answer) = merchant.sim.control(Method::PUT, path, body).await;
        assert_eq!(status, 400, "{body}");
        assert!(answer["error"].is_string());
    }
    let real = merchant
        .callback_settings(r#"{"retryScheduleMs":"real"}"#)
        .await;
    assert_eq!(real["retryScheduleMs"], "real");
}

#[tokio::test]
async fn public_notify_urls_can_be_required() {
    let merchant = Merchant::start().await;
    merchant.settings(r#"{"publicNotifyUrls":true}"#).await;
    for (url, status) in [
        ("http://pay.example.test/notify", 400),
        ("https://127.0.0.1/notify", 400),
        ("https://localhost/notify", 400),
        ("https://[::1]/notify", 400),
        ("https://pay.example.test/notify", 200),
    ] {
        let mut body = order("T-000001", 1);
        body["notify_url"] = json!(url);
        assert_eq!(merchant.order(&body).await.status, status, "{url}");
    }
}

#[tokio::test]
async fn without_a_merchant_wechat_pay_is_disabled() {
    let merchant = Merchant::with(TestSimulator::start().await);
    let reply = merchant
        .try_send(Method::POST, "/v3/pay/transactions/jsapi", b"{}")
        .await
        .unwrap();
    assert_eq!(reply.status, 404);
    assert_eq!(
        merchant.try_control("/orders/T-000001/pay", "").await.0,
        404
    );
}
