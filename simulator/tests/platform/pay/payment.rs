//! `wx.requestPayment`: the accepted parameters, and the resulting payment.

use serde_json::{Value, json};

use super::merchant::{Merchant, order};
use crate::harness::APP_ID;

/// Returns the parameters that the merchant passes to the client.
async fn parameters(merchant: &Merchant) -> Value {
    let prepay = merchant.order(&order("T-000001", 648)).await.ok();
    let package = format!("prepay_id={}", prepay["prepay_id"].as_str().unwrap());
    let message = format!("{APP_ID}\n1767225609\nc0ffee\n{package}\n");
    json!({
        "appId": APP_ID,
        "timeStamp": "1767225609",
        "nonceStr": "c0ffee",
        "package": package,
        "signType": "RSA",
        "paySign": merchant.sign(message.as_bytes()),
        "notify": false,
    })
}

#[tokio::test]
async fn validly_signed_parameters_pay_once() {
    let merchant = Merchant::start().await;
    let parameters = parameters(&merchant).await.to_string();
    let done = merchant.control("/request-payment", &parameters).await;
    assert_eq!(done["errMsg"], "requestPayment:ok");
    assert_eq!(
        merchant.query("T-000001").await.ok()["trade_state"],
        "SUCCESS"
    );
    let (status, again) = merchant.try_control("/request-payment", &parameters).await;
    assert_eq!(status, 409);
    assert_eq!(again["errMsg"], "requestPayment:fail the order is SUCCESS");
}

#[tokio::test]
async fn invalid_parameters_pay_nothing() {
    let merchant = Merchant::start().await;
    let valid = parameters(&merchant).await;
    for (name, value) in [
        ("timeStamp", json!("1767225610")),
        ("timeStamp", json!(1_767_225_609)),
        ("nonceStr", json!("coffee")),
        ("package", json!("wx0000")),
        ("package", json!("prepay_id=wx0000")),
        ("signType", json!("MD5")),
        ("appId", json!("wxffffffffffffffff")),
        ("paySign", json!("")),
    ] {
        let mut wrong = valid.clone();
        wrong[name] = value.clone();
        let (status, _) = merchant
            .try_control("/request-payment", &wrong.to_string())
            .await;
        assert_eq!(status, 400, "{name} {value}");
    }
    assert_eq!(
        merchant.query("T-000001").await.ok()["trade_state"],
        "NOTPAY"
    );
}

#[tokio::test]
async fn coupon_reduces_payer_total_but_not_total() {
    let merchant = Merchant::start().await;
    merchant.order(&order("T-000001", 648)).await.ok();
    let path = "/orders/T-000001/pay";
    assert_eq!(
        merchant.try_control(path, r#"{"payerTotal":649}"#).await.0,
        400
    );
    merchant
        .control(path, r#"{"payerTotal":500,"notify":false}"#)
        .await;
    let queried = merchant.query("T-000001").await.ok();
    assert_eq!(queried["amount"]["total"], 648);
    assert_eq!(queried["amount"]["payer_total"], 500);
    assert_eq!(queried["promotion_detail"][0]["amount"], 148);
}
