//! Reported events.

use avalon_tests::app::TestApp;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::json;

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
