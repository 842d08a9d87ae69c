//! The settings of WeChat Pay: what they take, and that a reset undoes them.

use reqwest::Method;
use serde_json::json;

use super::merchant::{Merchant, order};
use crate::running::Running;

#[tokio::test]
async fn settings_change_one_by_one_and_are_reset() {
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
async fn what_is_not_understood_changes_nothing() {
    let merchant = Merchant::start().await;
    for (path, body) in [
        ("/pay/settings", r#"{"keyMode":"none"}"#),
        ("/pay/settings", r#"{"weather":"fine"}"#),
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
async fn public_notify_urls_can_be_demanded() {
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
async fn without_a_merchant_there_is_no_wechat_pay() {
    let merchant = Merchant::with(Running::start().await);
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
