//! The console: strict settings, and that virtual payment is off unless configured.

use reqwest::Method;
use serde_json::json;

use super::app::App;
use crate::harness::TestSimulator;

#[tokio::test]
async fn unknown_settings_are_refused() {
    let app = App::start(None).await;
    for (method, path, body) in [
        (Method::PUT, "/settings", r#"{"unknown":1}"#),
        (Method::PUT, "/settings", r#"{"coinDelaySeconds":-1}"#),
        (Method::PUT, "/push-settings", r#"{"encryption":"rot13"}"#),
        (Method::PUT, "/products/p", r#"{"price":0}"#),
        (Method::PUT, "/products/p", r#"{"price":1,"env":2}"#),
        (Method::POST, "/clock/advance", r#"{"seconds":-1}"#),
        (Method::POST, "/clock/advance", r#"{"seconds":9999999999}"#),
        (Method::POST, "/players/alice/coins", r#"{"bought":1}"#),
        (Method::POST, "/pushes/test", r#"{"event":"unknown"}"#),
        (Method::POST, "/refunds", "{}"),
    ] {
        let path = format!("/vpay{path}");
        let (status, answer) = app.sim.control(method, &path, body).await;
        assert_eq!(status, 400, "{path} {body}: {answer}");
    }
}

#[tokio::test]
async fn products_and_zones_are_per_environment() {
    let app = App::start(None).await;
    app.put("/products/cup", json!({"price": 100, "env": 1}))
        .await;
    app.put("/zones", json!({"zones": ["1", "2"], "env": 0}))
        .await;
    let view = app.sim.get("/vpay/products").await;
    assert_eq!(view[0]["products"], json!({"gems-60": 600}));
    assert_eq!(view[1]["products"], json!({"cup": 100, "gems-60": 600}));
    assert_eq!(view[0]["zones"], json!(["1", "2"]));
    assert_eq!(view[1]["zones"], json!(["1"]));
    let (status, _) = app
        .sim
        .control(Method::DELETE, "/vpay/products/cup", "")
        .await;
    assert_eq!(status, 200);
    let view = app.sim.get("/vpay/products").await;
    assert_eq!(view[1]["products"], json!({"gems-60": 600}));
}

#[tokio::test]
async fn reset_restores_keys_and_forgets_coins() {
    let app = App::start(None).await;
    app.give(r#"{"bought":5}"#).await;
    app.put("/keys", json!({"appKey": "another"})).await;
    app.sim.control(Method::POST, "/reset", "").await;
    let ledgers = app
        .sim
        .get(&format!("/vpay/players/{}/coins", app.openid))
        .await;
    assert_eq!(ledgers["ledgers"], json!([]));
}

#[tokio::test]
async fn virtual_payment_is_off_unless_configured() {
    let sim = TestSimulator::start().await;
    let (status, _) = sim.control(Method::GET, "/vpay/products", "").await;
    assert_eq!(status, 404);
    assert!(sim.get("/state").await["vpay"].is_null());
}
