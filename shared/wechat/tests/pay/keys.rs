//! WeChat's keys: how the client obtains them in either mode and between the modes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use avalon_wechat::WechatMetrics;
use avalon_wechat::pay::{
    OutTradeNo, PayClient, PayClientError, PayError, PayErrorClass, PaySettings, Serial,
};
use jiff::Timestamp;
use prometheus::Registry;
use tokio::time::timeout;

use crate::platform::{Platform, Received, Reply, settings};
use crate::vectors::*;

fn list() -> &'static str {
    text(&VECTORS["certificates_download"]["body"])
}

fn serials() -> [Serial; 2] {
    let certificates = &VECTORS["keys"]["platform_certificate_mode"];
    [0, 1].map(|index| Serial::new(text(&certificates[index]["serial_no"])))
}

fn certificates_only(settings: &mut PaySettings) {
    settings.platform_public_key = None;
}

/// Responds as a platform that signs with the first certificate.
fn certificate_mode(request: &Received) -> Reply {
    match request.path() {
        "/v3/certificates" => Reply::signed_by_certificate(0, 200, list()),
        _ => Reply::signed_by_certificate(0, 204, ""),
    }
}

fn number() -> OutTradeNo {
    OutTradeNo::parse("T20260101-000001").unwrap()
}

#[tokio::test]
async fn first_certificates_are_verified_by_themselves() {
    let platform = Platform::with(certificate_mode, certificates_only).await;
    assert!(platform.client.keys().known_serials().is_empty());
    platform.client.refresh().await.unwrap();
    let known = platform.client.keys().known_serials();
    assert!(serials().iter().all(|serial| known.contains(serial)));
    assert!(
        platform
            .client
            .keys()
            .certificates()
            .iter()
            .all(|it| it.expires.is_some())
    );
    // The request names no certificate: any of them may sign.
    assert_eq!(platform.requests()[0].header("wechatpay-serial"), None);
}

#[tokio::test]
async fn concurrent_unknown_serials_share_one_fetch() {
    let platform = Platform::with(certificate_mode, certificates_only).await;
    let number = number();
    let calls = (0..8).map(|_| platform.client.close(&number));
    for result in futures_util::future::join_all(calls).await {
        result.unwrap();
    }
    let fetches = platform
        .requests()
        .iter()
        .filter(|it| it.path() == "/v3/certificates")
        .count();
    assert_eq!(fetches, 1);
}

#[tokio::test]
async fn fetches_for_unknown_serials_are_rate_limited() {
    let platform = Platform::new(|request| match request.path() {
        "/v3/certificates" => Reply::error(404, "RESOURCE_NOT_EXISTS"),
        _ => Reply::with_signature(&"7F".repeat(20), "AAAA", 204, ""),
    })
    .await;
    for _ in 0..3 {
        let error = platform.client.close(&number()).await.unwrap_err();
        assert!(matches!(error, PayError::Unverified { .. }), "{error}");
    }
    // Three calls and one fetch.
    assert_eq!(platform.requests().len(), 4);
}

#[tokio::test]
async fn callbacks_on_receipt_cause_one_fetch_in_the_background() {
    let platform = Platform::with(certificate_mode, certificates_only).await;
    let [signer, _] = serials();
    let (client, fetches) = (&platform.client, || platform.requests().len());
    // Not a certificate: nothing to fetch.
    client.fetch_for_receipt(&Serial::new("PUB_KEY_ID_01"));
    assert!(!client.keys().known_serials().contains(&signer));
    for _ in 0..100 {
        client.fetch_for_receipt(&signer);
    }
    timeout(Duration::from_secs(5), async {
        while !client.keys().known_serials().contains(&signer) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the certificate is fetched");
    // Made-up serials, after the interval of other callers.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    for n in 0..100 {
        client.fetch_for_receipt(&Serial::new(format!("{n:040X}")));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(fetches(), 1);
}

#[tokio::test]
async fn missing_certificates_need_a_public_key() {
    let respond = |_: &Received| Reply::error(404, "RESOURCE_NOT_EXISTS");
    let platform = Platform::new(respond).await;
    platform.client.refresh().await.unwrap();
    assert_eq!(platform.client.keys().known_serials(), [public_key().id]);

    let platform = Platform::with(respond, certificates_only).await;
    let error = platform.client.refresh().await.unwrap_err();
    assert_eq!(error.class(), PayErrorClass::Alert);
}

#[tokio::test]
async fn expired_certificates_are_dropped_when_none_are_listed() {
    // Of the time of the answer: everything before it may take a while.
    let expiring = || {
        let soon = Timestamp::now() + Duration::from_secs(2);
        let mut list: serde_json::Value = serde_json::from_str(list()).unwrap();
        for certificate in list["data"].as_array_mut().unwrap() {
            certificate["expire_time"] = soon.to_string().into();
        }
        list.to_string()
    };
    let attempts = AtomicUsize::new(0);
    let platform = Platform::new(move |_| match attempts.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::signed_by_certificate(0, 200, expiring()),
        _ => Reply::error(404, "RESOURCE_NOT_EXISTS"),
    })
    .await;
    let known = || platform.client.keys().known_serials();
    platform.client.refresh().await.unwrap();
    assert_eq!(known().len(), 3);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    platform.client.refresh().await.unwrap();
    assert_eq!(known(), [public_key().id]);
}

#[tokio::test]
async fn forged_or_undecryptable_list_is_rejected() {
    let forged = Platform::with(
        |_| {
            let unrelated = text(&VECTORS["keys"]["unrelated_rsa_key"]["private_key_pkcs8_pem"]);
            Reply::signed_by(serials()[0].as_str(), unrelated, 200, list())
        },
        certificates_only,
    )
    .await;
    assert!(matches!(
        forged.client.refresh().await,
        Err(PayError::Unverified { .. })
    ));

    let other_key = Platform::with(certificate_mode, |settings| {
        settings.platform_public_key = None;
        settings.api_v3_key =
            avalon_wechat::pay::ApiV3Key::parse("0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0v").unwrap();
    })
    .await;
    assert!(matches!(
        other_key.client.refresh().await,
        Err(PayError::Malformed { .. })
    ));
    for platform in [forged, other_key] {
        assert!(platform.client.keys().known_serials().is_empty());
    }
}

#[tokio::test]
async fn keep_fresh_fetches_immediately_and_retries() {
    let attempts = AtomicUsize::new(0);
    let platform = Platform::with(
        move |request| match attempts.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::unsigned(503, "<html>"),
            _ => certificate_mode(request),
        },
        certificates_only,
    )
    .await;
    let client = platform.client.clone();
    let task = tokio::spawn(async move { client.keep_fresh(Duration::from_millis(50)).await });
    timeout(Duration::from_secs(20), async {
        while platform.requests().len() < 4 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("a failed fetch, a successful one and two refreshes");
    task.abort();
    assert_eq!(platform.client.keys().known_serials().len(), 2);
}

#[tokio::test]
async fn stored_callback_is_verified_with_later_keys() {
    let case = &cases("notifications")[1];
    let platform = Platform::with(certificate_mode, certificates_only).await;
    let verify = async |received_at: Timestamp| {
        platform
            .client
            .verify_callback(&headers(case), &body(case), received_at)
            .await
    };
    assert_eq!(verify(at(case)).await, Ok(()));
    assert!(verify(Timestamp::now()).await.is_err(), "stale timestamp");
    let opened = platform.client.open_callback(&body(case)).unwrap();
    assert_eq!(opened.event_type, "TRANSACTION.SUCCESS");
}

#[test]
fn unusable_keys_are_rejected_at_creation() {
    let new = |change: fn(&mut PaySettings)| {
        let mut settings = settings("http://127.0.0.1:1");
        change(&mut settings);
        PayClient::new(settings, WechatMetrics::new(&Registry::new()).unwrap()).unwrap_err()
    };
    let key = |error| matches!(error, PayClientError::MerchantKey(_));
    assert!(key(new(|it| it.merchant_key = "not PEM".into())));
    assert!(key(new(
        |it| it.merchant_key = merchant("public_key_spki_pem").into()
    )));
    let platform_key = |error| matches!(error, PayClientError::PlatformKey(_));
    // A common mistake: the merchant's certificate instead of WeChat's public key.
    assert!(platform_key(new(|it| {
        it.platform_public_key.as_mut().unwrap().pem = merchant("certificate_pem").to_owned();
    })));
    assert!(matches!(
        new(|it| it.api_base = "ftp://x".parse().unwrap()),
        PayClientError::ApiBase
    ));
}
