//! Abnormal refunds: what the client sends, and to whom it encrypts.

use avalon_wechat::pay::{
    AbnormalRefund, AbnormalRefundTo, OutRefundNo, PayError, PayErrorClass, RefundId, RefundState,
};
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::platform::{Platform, Received, Reply};
use crate::vectors::*;

const PATH: &str =
    "/v3/refund/domestic/refunds/50300000002026010100000000001/apply-abnormal-refund";

fn to_card() -> AbnormalRefund {
    AbnormalRefund {
        refund_id: RefundId::new("50300000002026010100000000001"),
        out_refund_no: OutRefundNo::parse("R20260101-000001").unwrap(),
        to: AbnormalRefundTo::UserCard {
            bank_type: "ICBC_DEBIT".to_owned(),
            account: "6222020000000000123".into(),
            name: "测试姓名".into(),
        },
    }
}

fn accepted(number: &str) -> String {
    json!({
        "refund_id": "50300000002026010100000000001", "out_refund_no": number,
        "transaction_id": "4200000000202601010000000001", "out_trade_no": "T20260101-000001",
        "channel": "OTHER_BANKCARD", "status": "PROCESSING",
        "create_time": "2026-01-01T08:01:50+08:00",
        "amount": {"total": 648, "refund": 300},
    })
    .to_string()
}

/// Decrypts a field of a request with a private key of the vectors.
fn decrypted(request: &Received, field: &str, key: &str) -> String {
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let ciphertext = BASE64_STANDARD
        .decode(body[field].as_str().unwrap())
        .unwrap();
    let key = PrivateDecryptingKey::from_pkcs8(pem::parse(key).unwrap().contents()).unwrap();
    let key = OaepPrivateDecryptingKey::new(key).unwrap();
    let mut plain = vec![0; key.min_output_size()];
    let plain = key
        .decrypt(&OAEP_SHA1_MGF1SHA1, &ciphertext, &mut plain, None)
        .unwrap();
    String::from_utf8(plain.to_vec()).unwrap()
}

#[tokio::test]
async fn card_is_encrypted_with_the_public_key() {
    let platform = Platform::new(|_| Reply::signed(200, accepted("R20260101-000001"))).await;
    let refund = platform.client.apply_abnormal_refund(&to_card()).await;
    assert_eq!(refund.unwrap().state, RefundState::Processing);
    let request = &platform.requests()[0];
    assert_eq!((request.method.as_str(), request.path()), ("POST", PATH));
    let key = &VECTORS["keys"]["platform_public_key_mode"];
    assert_eq!(
        request.header("wechatpay-serial"),
        Some(text(&key["public_key_id"]))
    );
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body["type"], "USER_BANK_CARD");
    assert_eq!(body["out_refund_no"], "R20260101-000001");
    assert_eq!(body["bank_type"], "ICBC_DEBIT");
    let key = text(&key["private_key_pkcs8_pem"]);
    assert_eq!(
        decrypted(request, "bank_account", key),
        "6222020000000000123"
    );
    assert_eq!(decrypted(request, "real_name", key), "测试姓名");
}

#[tokio::test]
async fn card_is_encrypted_with_the_newest_certificate() {
    let platform = Platform::with(
        |request| match request.path() {
            "/v3/certificates" => {
                let list = body(&VECTORS["certificates_download"]);
                Reply::signed_by_certificate(0, 200, list)
            }
            _ => Reply::signed_by_certificate(1, 200, accepted("R20260101-000001")),
        },
        |settings| settings.platform_public_key = None,
    )
    .await;
    let refund = platform.client.apply_abnormal_refund(&to_card()).await;
    refund.unwrap();
    let requests = platform.requests();
    assert_eq!(requests[0].path(), "/v3/certificates", "fetched on demand");
    let certificates = VECTORS["keys"]["platform_certificate_mode"].as_array();
    let named = requests[1].header("wechatpay-serial").unwrap();
    let newest = &certificates.unwrap()[1];
    assert_eq!(named, text(&newest["serial_no"]));
    let key = text(&newest["private_key_pkcs8_pem"]);
    assert_eq!(decrypted(&requests[1], "real_name", key), "测试姓名");
}

#[tokio::test]
async fn merchant_account_needs_no_encryption() {
    let platform = Platform::new(|_| Reply::signed(200, accepted("R20260101-000001"))).await;
    let refund = AbnormalRefund {
        to: AbnormalRefundTo::MerchantAccount,
        ..to_card()
    };
    platform
        .client
        .apply_abnormal_refund(&refund)
        .await
        .unwrap();
    let body: Value = serde_json::from_str(&platform.requests()[0].body).unwrap();
    let expected = json!({"out_refund_no": "R20260101-000001", "type": "MERCHANT_BANK_CARD"});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn unknown_outcome_of_an_abnormal_refund_is_queried_first() {
    let platform = Platform::new(|_| Reply::error(502, "")).await;
    let error = platform.client.apply_abnormal_refund(&to_card()).await;
    assert_eq!(error.unwrap_err().class(), PayErrorClass::QueryFirst);
    let platform = Platform::new(|_| Reply::signed(200, accepted("R-other"))).await;
    let error = platform.client.apply_abnormal_refund(&to_card()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, PayError::Malformed { .. }), "{error}");
    assert_eq!(error.class(), PayErrorClass::QueryFirst);
}

#[test]
fn debug_output_hides_the_account() {
    let text = format!("{:?}", to_card());
    assert!(!text.contains("6222") && !text.contains("测试"), "{text}");
}
