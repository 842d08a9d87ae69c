//! Reading jobs.

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
