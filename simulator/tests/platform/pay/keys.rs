//! The choice of the signing key, and the list of certificates.

use avalon_simulator::{PayMerchant, PaySimulatorSettings, SimulatorSettings};
use serde_json::Value;

use super::inbox::Inbox;
use super::merchant::{Merchant, TEST, order};
use super::verification::{decrypt, verify};
use crate::harness::{APP_ID, APP_SECRET, TestSimulator};

async fn certificates(merchant: &Merchant) -> Vec<(String, String)> {
    let list = merchant.get("/v3/certificates").await.ok();
    let data = list["data"].as_array().unwrap();
    data.iter()
        .map(|entry| {
            let resource = &entry["encrypt_certificate"];
            assert_eq!(resource["associated_data"], "certificate");
            let pem = String::from_utf8(decrypt(resource).unwrap()).unwrap();
            (entry["serial_no"].as_str().unwrap().to_owned(), pem)
        })
        .collect()
}

/// Returns the serial that signs a response.
async fn signer(merchant: &Merchant) -> String {
    let reply = merchant
        .try_send(reqwest::Method::GET, "/v3/certificates", b"")
        .await
        .unwrap();
    verify(&reply.headers, &reply.bytes).unwrap()
}

#[tokio::test]
async fn certificates_rotate_from_the_older_to_the_newer() {
    let mut merchant = Merchant::start().await;
    merchant.named_key = None;
    let [older, newer] = [0, 1].map(|n| {
        (
            TEST.platform_serials[n].to_owned(),
            TEST.platform_certificates[n].to_owned(),
        )
    });
    assert_eq!(certificates(&merchant).await, std::slice::from_ref(&older));
    assert_eq!(signer(&merchant).await, older.0);

    merchant
        .control("/certificates/rotate", r#"{"stage":"announced"}"#)
        .await;
    assert_eq!(
        certificates(&merchant).await,
        [older.clone(), newer.clone()]
    );
    assert_eq!(signer(&merchant).await, older.0);

    merchant.control("/certificates/rotate", "").await;
    assert_eq!(certificates(&merchant).await, [older, newer.clone()]);
    assert_eq!(signer(&merchant).await, newer.0);

    merchant
        .control("/certificates/rotate", r#"{"stage":"retired"}"#)
        .await;
    assert_eq!(certificates(&merchant).await, [newer]);
}

#[tokio::test]
async fn listed_expiry_of_the_older_certificate_is_configurable() {
    let merchant = Merchant::start().await;
    let expiries = async || {
        let list = merchant.get("/v3/certificates").await.ok();
        let list = list["data"].as_array().unwrap().clone();
        let expiries = list.iter().map(|entry| entry["expire_time"].clone());
        expiries.collect::<Vec<_>>()
    };
    merchant
        .control("/certificates/rotate", r#"{"stage":"announced"}"#)
        .await;
    let before = expiries().await;
    let expiry = r#"{"olderCertificateExpires":"2026-12-01T00:00:00Z"}"#;
    merchant.settings(expiry).await;
    let changed = expiries().await;
    assert_eq!(changed[0], "2026-12-01T08:00:00+08:00");
    assert_eq!(changed[1], before[1]);
    merchant
        .settings(r#"{"olderCertificateExpires":null}"#)
        .await;
    assert_eq!(expiries().await, before);
}

#[tokio::test]
async fn public_key_signs_when_the_request_names_it() {
    let mut merchant = Merchant::start().await;
    assert_eq!(signer(&merchant).await, TEST.platform_public_key_id);
    merchant.settings(r#"{"keyMode":"certificateOnly"}"#).await;
    assert_eq!(signer(&merchant).await, TEST.platform_serials[0]);
    merchant.settings(r#"{"keyMode":"publicKeyOnly"}"#).await;
    merchant.named_key = None;
    let reply = merchant
        .try_send(reqwest::Method::GET, "/v3/certificates", b"")
        .await
        .unwrap();
    assert_eq!(reply.error(), (404, "RESOURCE_NOT_EXISTS"));
    let reply = merchant
        .try_send(
            reqwest::Method::POST,
            "/v3/pay/transactions/jsapi",
            order("T-000001", 1).to_string().as_bytes(),
        )
        .await
        .unwrap();
    assert_eq!(
        verify(&reply.headers, &reply.bytes).unwrap(),
        TEST.platform_public_key_id
    );
}

#[tokio::test]
async fn success_can_be_a_signature_probe() {
    let merchant = Merchant::start().await;
    merchant.settings(r#"{"signTestResponses":1}"#).await;
    let body = order("T-000001", 1).to_string();
    let url = "/v3/pay/transactions/jsapi";
    let post = || merchant.try_send(reqwest::Method::POST, url, body.as_bytes());
    let probe = post().await.unwrap();
    assert_eq!(probe.status, 200);
    assert_eq!(verify(&probe.headers, &probe.bytes), Err("wrong signature"));
    let valid = post().await.unwrap();
    assert!(verify(&valid.headers, &valid.bytes).is_ok());
    assert_eq!(valid.json, probe.json, "the probe had its effect");
}

#[tokio::test]
async fn callbacks_are_signed_by_the_configured_key() {
    let merchant = Merchant::start().await;
    let inbox = Inbox::start(&[]).await;
    merchant.control("/certificates/rotate", "").await;
    let mut body = order("T-000001", 648);
    body["notify_url"] = inbox.url.clone().into();
    merchant.order(&body).await.ok();
    let done = merchant.control("/orders/T-000001/pay", "").await;
    inbox.wait(1).await;
    let repeat = format!("/callbacks/{}/repeat", done["callbackId"].as_str().unwrap());
    let signer = || inbox.deliveries().pop().unwrap().verify().unwrap();
    for (mode, expected) in [
        ("certificate", TEST.platform_serials[1]),
        ("publicKey", TEST.platform_public_key_id),
    ] {
        merchant
            .callback_settings(&format!(r#"{{"keyMode":"{mode}"}}"#))
            .await;
        merchant.control(&repeat, "").await;
        assert_eq!(signer(), expected);
    }
    merchant.callback_settings(r#"{"keyMode":"random"}"#).await;
    let callback: Value = merchant.control(&repeat, r#"{"copies":40}"#).await;
    let serials: std::collections::BTreeSet<_> = callback["attempts"].as_array().unwrap()[3..]
        .iter()
        .map(|attempt| attempt["serial"].as_str().unwrap())
        .collect();
    assert_eq!(serials.len(), 2);
}

#[tokio::test]
async fn merchant_key_can_be_private_certificate_or_public() {
    for key in [TEST.merchant_key, TEST.merchant_certificate] {
        let mut settings = SimulatorSettings::new(APP_ID, APP_SECRET);
        let merchant = PayMerchant {
            mch_id: TEST.mch_id,
            serial: TEST.merchant_serial,
            key,
            api_v3_key: TEST.api_v3_key,
        };
        settings.pay = Some(PaySimulatorSettings::new(&merchant).unwrap());
        let merchant = Merchant::with(TestSimulator::start_with(settings).await);
        merchant.order(&order("T-000001", 1)).await.ok();
    }
    let wrong = |key, api_v3_key| {
        PaySimulatorSettings::new(&PayMerchant {
            mch_id: "1",
            serial: "1",
            key,
            api_v3_key,
        })
    };
    assert!(wrong("no PEM", TEST.api_v3_key).is_err());
    assert!(wrong(TEST.merchant_key, "short").is_err());
    assert!(wrong(TEST.platform_public_key, TEST.api_v3_key).is_ok());
}
