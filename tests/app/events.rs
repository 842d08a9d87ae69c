//! Reported events.

use std::io::Write;

use avalon_tests::ApiResponse;
use avalon_tests::app::TestApp;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn events_are_accepted_and_malformed_reports_rejected() {
    let app = TestApp::start().await;
    let body = app.sign_in("alice").await;
    let token = body["token"].as_str().unwrap();
    let report = || {
        app.request(Method::POST, "/api/wx/report")
            .bearer_auth(token)
    };
    let event = json!({
        "eventName": "login",
        "eventParams": {},
        "timestamp": Timestamp::now().as_millisecond(),
    });
    let response = app.send(report().json(&json!({"events": [event]}))).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.body["accepted"], 1, "{response:?}");
    let malformed = report()
        .header("content-type", "application/json")
        .body("{");
    let response = app.send(malformed).await;
    assert_eq!(response.status, 400, "{response:?}");
}

/// Sends events with `padding` bytes of parameters each, compressed.
async fn report(app: &TestApp, session: &Value, events: usize, padding: usize) -> ApiResponse {
    let event = json!({
        "eventName": "level_end",
        "eventParams": {"text": "x".repeat(padding)},
        "timestamp": Timestamp::now().as_millisecond(),
    });
    let body = json!({"events": vec![event; events]}).to_string();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body.as_bytes()).unwrap();
    let request = app
        .request(Method::POST, "/api/wx/report")
        .bearer_auth(session["token"].as_str().unwrap())
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(encoder.finish().unwrap());
    app.send(request).await
}

/// Returns the wait of a response that names an exhausted budget.
fn assert_over_budget(response: &ApiResponse, detail: &str) -> u64 {
    response.assert_problem(429, "RATE_LIMITED");
    let text = response.body["detail"].as_str().unwrap();
    assert!(text.contains(detail), "{text}");
    response.header("retry-after").parse().unwrap()
}

#[tokio::test]
async fn compressed_reports_consume_their_inflated_size() {
    let app = TestApp::builder()
        .set("LIMITS__ENABLED", "true")
        .start()
        .await;
    app.expect_leftover("store_events");
    let (alice, bob) = (app.sign_in("alice").await, app.sign_in("bob").await);
    // 1,000,000 bytes each, compressed to a few thousand; the budget is 4 MiB.
    let mut accepted = 0;
    let refused = loop {
        let response = report(&app, &alice, 125, 7920).await;
        if response.status != 200 {
            break response;
        }
        accepted += 1;
        assert!(accepted <= 4, "more than the budget");
    };
    assert_eq!(accepted, 4);
    let wait = assert_over_budget(&refused, "4194304 per 10m");
    assert!((100..=130).contains(&wait), "{wait}");
    let small = report(&app, &alice, 1, 10).await;
    assert_eq!(small.status, 200, "a refused report consumes nothing");
    assert_eq!(report(&app, &bob, 125, 7920).await.status, 200);
}

#[tokio::test]
async fn events_and_their_bytes_in_the_queue_have_budgets() {
    let app = TestApp::builder()
        .set("LIMITS__ENABLED", "true")
        .set("LIMITS__EVENTS_PER_PLAYER", "1000/10m")
        .set("LIMITS__STORED_EVENT_BYTES_PER_PLAYER", "2097152/1d")
        .start()
        .await;
    app.expect_leftover("store_events");
    let (alice, bob) = (app.sign_in("alice").await, app.sign_in("bob").await);
    assert_eq!(report(&app, &alice, 500, 1).await.status, 200);
    assert_eq!(report(&app, &alice, 500, 1).await.status, 200);
    let refused = report(&app, &alice, 1, 1).await;
    assert_over_budget(&refused, "events: a player may report 1000 per 10m");

    assert_eq!(report(&app, &bob, 125, 7920).await.status, 200);
    assert_eq!(report(&app, &bob, 125, 7920).await.status, 200);
    let refused = report(&app, &bob, 125, 7920).await;
    let wait = assert_over_budget(&refused, "stored events");
    assert!(wait > 3600, "{wait}");
}
