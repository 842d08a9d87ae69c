//! Abnormal refunds that are sent to another account.

use std::time::Duration;

use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::merchant::{Merchant, Reply, TEST, refund};
use super::verification::platform_key;

fn encrypted(serial: &str, text: &str) -> String {
    let key = PublicEncryptingKey::from_der(&platform_key(serial).unwrap()).unwrap();
    let key = OaepPublicEncryptingKey::new(key).unwrap();
    let mut ciphertext = vec![0; key.ciphertext_size()];
    let ciphertext = key
        .encrypt(&OAEP_SHA1_MGF1SHA1, text.as_bytes(), &mut ciphertext, None)
        .unwrap();
    STANDARD.encode(ciphertext)
}

fn to_card(serial: &str) -> Value {
    json!({
        "out_refund_no": "R-1",
        "type": "USER_BANK_CARD",
        "bank_type": "ICBC_DEBIT",
        "bank_account": encrypted(serial, "6222020000000000123"),
        "real_name": encrypted(serial, "张三"),
    })
}

/// Creates a refund and waits until it is abnormal; returns its id. Later outcomes are successes.
async fn abnormal(merchant: &Merchant) -> String {
    merchant
        .settings(r#"{"refundOutcome":"abnormal","refundDelayMs":0}"#)
        .await;
    merchant.paid("T-000001", 648).await;
    let body = refund("R-1", "T-000001", 648, 648);
    let accepted = merchant.refund(&body).await.ok();
    wait_for(merchant, "ABNORMAL").await;
    merchant.settings(r#"{"refundOutcome":"success"}"#).await;
    accepted["refund_id"].as_str().unwrap().to_owned()
}

async fn wait_for(merchant: &Merchant, status: &str) -> Value {
    for _ in 0..400 {
        let refund = merchant.get("/v3/refund/domestic/refunds/R-1").await.ok();
        if refund["status"] == status {
            return refund;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never {status}");
}

async fn apply(merchant: &Merchant, refund_id: &str, body: &Value) -> Reply {
    let url = format!("/v3/refund/domestic/refunds/{refund_id}/apply-abnormal-refund");
    merchant.post(&url, body).await
}

#[tokio::test]
async fn abnormal_refund_succeeds_to_another_card() {
    let merchant = Merchant::start().await;
    let id = abnormal(&merchant).await;
    merchant.settings(r#"{"refundDelayMs":100}"#).await;
    let body = to_card(TEST.platform_public_key_id);
    let accepted = apply(&merchant, &id, &body).await.ok();
    assert_eq!(accepted["status"], "PROCESSING");
    assert_eq!(accepted["channel"], "OTHER_BANKCARD");
    let again = to_card(TEST.platform_public_key_id);
    assert_ne!(again, body, "the encryption is randomised");
    assert_eq!(apply(&merchant, &id, &again).await.ok()["refund_id"], id);
    let done = wait_for(&merchant, "SUCCESS").await;
    let account = done["user_received_account"].as_str().unwrap();
    assert!(account.ends_with("0123"), "{account}");
}

#[tokio::test]
async fn certificate_encrypts_in_certificate_mode() {
    let mut merchant = Merchant::start().await;
    merchant.settings(r#"{"keyMode":"certificateOnly"}"#).await;
    merchant.named_key = None;
    let id = abnormal(&merchant).await;
    let serial = TEST.platform_serials[0];
    let body = to_card(serial);
    let unnamed = apply(&merchant, &id, &body).await;
    assert_eq!(unnamed.error(), (400, "PARAM_ERROR"));
    assert_eq!(
        unnamed.json["message"],
        "平台证书序列号Wechatpay-Serial错误"
    );
    merchant.named_key = Some(TEST.platform_public_key_id);
    let not_in_use = apply(&merchant, &id, &body).await;
    assert_eq!(not_in_use.error(), (400, "PARAM_ERROR"));
    merchant.named_key = Some(serial);
    apply(&merchant, &id, &body).await.ok();
    wait_for(&merchant, "SUCCESS").await;
}

#[tokio::test]
async fn abnormal_refund_can_go_to_the_merchant() {
    let mut merchant = Merchant::start().await;
    let id = abnormal(&merchant).await;
    merchant.named_key = None;
    let body = json!({"out_refund_no": "R-1", "type": "MERCHANT_BANK_CARD"});
    apply(&merchant, &id, &body).await.ok();
    wait_for(&merchant, "SUCCESS").await;
}

#[tokio::test]
async fn abnormal_refund_request_is_validated() {
    let merchant = Merchant::start().await;
    let id = abnormal(&merchant).await;
    let good = to_card(TEST.platform_public_key_id);
    for (field, value) in [
        ("type", json!("CASH")),
        ("type", Value::Null),
        ("out_refund_no", json!("")),
        ("bank_type", json!("")),
        ("bank_account", json!("6222020000000000123")),
        (
            "bank_account",
            json!(encrypted(TEST.platform_serials[0], "1")),
        ),
        ("real_name", json!("张三")),
        ("unknown", json!(1)),
    ] {
        let mut body = good.clone();
        body[field] = value.clone();
        let reply = apply(&merchant, &id, &body).await;
        assert_eq!(reply.error(), (400, "PARAM_ERROR"), "{field} {value}");
    }
    let other = apply(&merchant, "50000", &good).await;
    assert_eq!(other.error(), (404, "RESOURCE_NOT_EXISTS"));
    let mut other = good.clone();
    other["out_refund_no"] = json!("R-2");
    let other = apply(&merchant, &id, &other).await;
    assert_eq!(other.error(), (404, "RESOURCE_NOT_EXISTS"));

    apply(&merchant, &id, &good).await.ok();
    wait_for(&merchant, "SUCCESS").await;
    let to_merchant = json!({"out_refund_no": "R-1", "type": "MERCHANT_BANK_CARD"});
    let done = apply(&merchant, &id, &to_merchant).await;
    assert_eq!(done.error(), (400, "INVALID_REQUEST"));
}
