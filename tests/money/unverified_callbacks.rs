//! Callbacks whose signing key is unknown on receipt, which anyone can send: what is refused at once, how
//! many are stored, for how long, and how the API learns the key.

use std::time::Duration;

use avalon_core::base::ids::InboxId;
use avalon_core::jobs::Callback;
use avalon_core::payments::CallbackOutcome;
use avalon_queue::{JobState, NewJob};
use avalon_test_support::{TestDatabase, eventually_eq};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use crate::ingress::forge;
use crate::shop::Shop;

/// Of a certificate that WeChat never had.
const UNKNOWN: &str = "7F00000000000000000000000000000000000001";
const STORED: &str = "SELECT count(*) FROM inbox";

/// Sends a callback with well-formed headers and a signature of zeros.
async fn send(shop: &Shop, serial: &str, signature_bytes: usize, body: Vec<u8>) -> Response {
    let request = shop.app.request(Method::POST, "/api/wx/pay/notify");
    let request = request
        .header("wechatpay-serial", serial)
        .header("wechatpay-timestamp", Timestamp::now().as_second())
        .header("wechatpay-nonce", "n-1")
        .header(
            "wechatpay-signature",
            BASE64_STANDARD.encode(vec![0; signature_bytes]),
        )
        .body(body);
    request.send().await.unwrap()
}

#[tokio::test]
async fn implausible_or_large_callbacks_are_not_stored() {
    let shop = Shop::open(TestDatabase::sqlite()).await;
    shop.app.expect_leftover("callback");
    let body = || b"{}".to_vec();
    for serial in ["x", "7F", "PUB_KEY_ID_x", &"7F".repeat(21)] {
        let response = send(&shop, serial, 256, body()).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{serial}");
    }
    let short = send(&shop, UNKNOWN, 16, body()).await;
    assert_eq!(short.status(), StatusCode::UNAUTHORIZED);
    let large = send(&shop, UNKNOWN, 256, vec![b' '; 16 * 1024 + 1]).await;
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(shop.count(STORED).await, 0);
    // The largest and smallest plausible ones are left to a worker.
    for serial in [UNKNOWN, "7F00000000000001", "PUB_KEY_ID_01"] {
        let response = send(&shop, serial, 256, vec![b' '; 16 * 1024]).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{serial}");
    }
    assert_eq!(shop.count(STORED).await, 3);
}

#[tokio::test]
async fn forged_callbacks_are_deleted_once_judged() {
    for database in TestDatabase::both().await {
        let shop = Shop::open(database).await;
        let handlers = shop.handlers(false);
        let known = shop.client().keys().known_serials()[0].clone();
        for (serial, outcome) in [
            (UNKNOWN, CallbackOutcome::UnknownSerial),
            (known.as_str(), CallbackOutcome::BadSignature),
        ] {
            let headers = json!({
                "timestamp": Timestamp::now().as_second().to_string(),
                "nonce": "n-1",
                "signature": BASE64_STANDARD.encode([0; 256]),
                "serial": serial,
            });
            let inbox_id = InboxId::new();
            sqlx::query(
                "INSERT INTO inbox (id, channel, kind, headers, body, received_at, verified)
                 VALUES ($1, 'wechat_pay', 'payment', $2, $3, $4, 0)",
            )
            .bind(inbox_id.to_string())
            .bind(headers.to_string())
            .bind(b"{}".to_vec())
            .bind(Timestamp::now().as_millisecond())
            .execute(shop.database.pool())
            .await
            .unwrap();
            let mut job = NewJob::from_job(&Callback { inbox_id });
            job.max_attempts = 1;
            let judged = shop.run_job(&handlers, job).await;
            assert_eq!(judged.state, JobState::Succeeded, "{judged:?}");
            let result = judged.result.unwrap();
            assert_eq!(
                serde_json::from_str::<CallbackOutcome>(result.get()).unwrap(),
                outcome
            );
            assert_eq!(shop.count(STORED).await, 0, "{outcome}");
        }
    }
}

#[tokio::test]
async fn limit_by_address_spares_verified_callbacks() {
    let limits = [
        ("LIMITS__ENABLED", "true"),
        ("LIMITS__UNVERIFIED_CALLBACKS_PER_ADDRESS", "3/1m"),
    ];
    let shop = Shop::open_with(TestDatabase::sqlite(), &limits).await;
    shop.app.expect_leftover("callback");
    let (handlers, player) = (shop.handlers(false), shop.player().await);
    let gems = shop.product(100, None, None).await;
    let order = shop.order(&handlers, player, &gems, "k").await;
    for _ in 0..3 {
        assert_eq!(forge(&shop, order, "unknownSerial").await, 204);
    }
    assert_eq!(forge(&shop, order, "unknownSerial").await, 429);
    let limited = send(&shop, UNKNOWN, 256, b"{}".to_vec()).await;
    let wait = limited.headers()["retry-after"].to_str().unwrap();
    assert!((1..=20).contains(&wait.parse::<u64>().unwrap()), "{wait}");
    let body: serde_json::Value = limited.json().await.unwrap();
    assert_eq!(body["code"], "FAIL");
    for _ in 0..10 {
        assert_eq!(forge(&shop, order, "coupon").await, 204);
    }
    assert_eq!(shop.count(STORED).await, 13);
}

#[tokio::test]
async fn api_fetches_an_unknown_certificate_itself() {
    let shop = Shop::open(TestDatabase::sqlite()).await;
    // No worker runs.
    shop.app.expect_leftover("callback");
    let (handlers, player) = (shop.handlers(false), shop.player().await);
    let gems = shop.product(100, None, None).await;
    let order = shop.order(&handlers, player, &gems, "k").await;
    let by_certificate = json!({"keyMode": "certificate"});
    shop.wechat
        .must(Method::PUT, "pay/callbacks", by_certificate)
        .await;
    let known = || shop.client().keys().known_serials().len();
    assert_eq!(known(), 1, "only the public key");
    assert_eq!(forge(&shop, order, "coupon").await, 204);
    eventually_eq(Duration::from_secs(10), true, async || known() > 1).await;
    assert_eq!(forge(&shop, order, "coupon").await, 204);
    let verified = "SELECT count(*) FROM inbox WHERE verified = 1";
    assert_eq!(
        (shop.count(STORED).await, shop.count(verified).await),
        (2, 1)
    );
}
