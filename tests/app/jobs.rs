//! Reading jobs.

use std::time::{Duration, Instant};

use avalon_test_support::eventually;
use avalon_tests::app::TestApp;
use avalon_tests::send;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn job_of_an_asynchronous_sign_in_is_readable() {
    let app = TestApp::start().await;
    let request = app
        .request(Method::POST, "/api/wx/login")
        .header("prefer", "respond-async")
        .json(&json!({"code": "sim-alice"}));
    // Without running jobs: the response does not wait for them.
    let accepted = send(request).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let location = accepted.header("location").to_owned();
    let queued = app.send(app.request(Method::GET, &location)).await;
    assert!(queued.status.is_success(), "{queued:?}");
    app.run_due().await;
    let done = app.send(app.request(Method::GET, &location)).await;
    assert_eq!(done.body["status"], "succeeded", "{done:?}");
    assert!(done.body["result"]["token"].is_string(), "{done:?}");

    let unknown = app.request(Method::GET, "/api/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let response = app.send(unknown).await;
    assert_eq!(response.status, 404, "{response:?}");
}

#[tokio::test]
async fn queue_that_is_behind_refuses_requests_early() {
    let app = TestApp::builder()
        .set("HTTP__MAX_QUEUE_WAIT", "1s")
        .start()
        .await;
    let alice = app.sign_in("alice").await;
    let token = alice["token"].as_str().unwrap().to_owned();
    let sign_in = async |name: String| {
        let request = app.request(Method::POST, "/api/wx/login");
        let request = request.header("prefer", "respond-async");
        send(request.json(&json!({"code": format!("sim-{name}")}))).await
    };
    // No worker runs.
    let begun = Instant::now();
    let mut accepted = 0;
    let refused = loop {
        let response = sign_in(format!("player{accepted}")).await;
        if response.status != 202 {
            break response;
        }
        accepted += 1;
        assert!(begun.elapsed() < Duration::from_secs(20), "all accepted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.body["code"], "OVERLOADED");
    assert_eq!(refused.body["retryable"], true);
    assert_eq!(refused.header("retry-after"), "1");
    // Another queue is not behind.
    let order = app.request(Method::POST, "/api/wx/createOrder");
    let order = order.header("prefer", "respond-async");
    let order = order
        .header("idempotency-key", "order-1")
        .bearer_auth(&token);
    let order = order.json(&json!({"productId": "gems-60", "quantity": 1}));
    let order = send(order).await;
    assert_eq!(order.status, 202, "{order:?}");

    app.run_due().await;
    eventually(Duration::from_secs(10), async || {
        let response = sign_in("late".to_owned()).await;
        (response.status == 202).then_some(()).ok_or(response)
    })
    .await;
    app.run_due().await;
}
