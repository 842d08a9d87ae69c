//! The operators' listener.

use avalon_tests::app::TestApp;
use avalon_tests::client;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn health_and_metrics_need_no_token() {
    let app = TestApp::start().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        let response = app.send(client().get(format!("{}{path}", app.ops))).await;
        assert_eq!(response.status, 200, "{path}: {response:?}");
    }
}

#[tokio::test]
async fn admin_routes_require_the_token() {
    let app = TestApp::start().await;
    app.sign_in("alice").await;
    for path in [
        "/admin/orders",
        "/admin/products",
        "/admin/jobs?queue=login&status=dead",
    ] {
        let response = app.send(app.admin(Method::GET, path)).await;
        assert_eq!(response.status, 200, "{path}: {response:?}");
        let anonymous = client().get(format!("{}{path}", app.ops));
        let response = app.send(anonymous).await;
        assert_eq!(
            (response.status.as_u16(), response.code()),
            (401, "UNAUTHENTICATED")
        );
    }
    let response = app
        .send(app.admin(Method::GET, "/admin/orders/unknown"))
        .await;
    assert_eq!(response.status, 404, "{response:?}");
}

#[tokio::test]
async fn log_level_is_validated() {
    let app = TestApp::start().await;
    let put = app.admin(Method::PUT, "/admin/log");
    let response = app.send(put.json(&json!({"level": "debug"}))).await;
    assert_eq!(response.status, 200, "{response:?}");
    let put = app.admin(Method::PUT, "/admin/log");
    let response = app.send(put.json(&json!({"verbosity": 1}))).await;
    assert!(response.status.is_client_error(), "{response:?}");
}
