//! Products, orders and inventory.

use avalon_tests::ApiResponse;
use avalon_tests::app::TestApp;
use reqwest::Method;
use serde_json::{Value, json};

/// The service with one product, and a player's token.
async fn shop() -> (TestApp, String) {
    let app = TestApp::start().await;
    let put = app.admin(Method::PUT, "/admin/products/gems");
    let response = app
        .send(put.json(&json!({"name": "Gems", "price": 100})))
        .await;
    assert_eq!(response.status, 200, "{response:?}");
    let body = app.sign_in("alice").await;
    let token = body["token"].as_str().unwrap().to_owned();
    (app, token)
}

async fn post(app: &TestApp, token: &str, path: &str, key: &str, body: Value) -> ApiResponse {
    let request = app.request(Method::POST, path).bearer_auth(token);
    app.send(request.header("idempotency-key", key).json(&body))
        .await
}

async fn get(app: &TestApp, token: &str, path: &str) -> ApiResponse {
    app.send(app.request(Method::GET, path).bearer_auth(token))
        .await
}

#[tokio::test]
async fn products_are_listed_without_a_token() {
    let (app, _) = shop().await;
    let response = app.send(app.request(Method::GET, "/api/wx/products")).await;
    assert_eq!(response.body["products"][0]["productId"], "gems");
}

#[tokio::test]
async fn order_is_created_and_cancelled() {
    let (app, token) = shop().await;
    let gems = json!({"productId": "gems", "quantity": 1});
    let created = post(&app, &token, "/api/wx/createOrder", "k", gems).await;
    assert_eq!(created.status, 200, "{created:?}");
    assert!(created.body["payParams"].is_object(), "{created:?}");
    let id = created.body["orderId"].as_str().unwrap();
    let order = get(&app, &token, &format!("/api/wx/getOrder/{id}")).await;
    assert_eq!(order.body["order"]["status"], "pending", "{order:?}");
    let path = format!("/api/wx/cancelOrder/{id}");
    let cancelled = post(&app, &token, &path, "c", json!({})).await;
    assert_eq!(cancelled.body["order"]["status"], "closed", "{cancelled:?}");

    let unknown = json!({"productId": "unknown", "quantity": 1});
    let response = post(&app, &token, "/api/wx/createOrder", "k2", unknown).await;
    response.assert_problem(404, "PRODUCT_NOT_FOUND");
    let response = get(&app, &token, "/api/wx/getOrder/unknown").await;
    assert_eq!(response.status, 404, "{response:?}");
    let response = post(&app, "no-token", "/api/wx/createOrder", "k3", json!({})).await;
    assert_eq!(response.status, 401, "{response:?}");
}

#[tokio::test]
async fn paid_items_are_granted_and_consumed_once() {
    let (app, token) = shop().await;
    let gems = json!({"productId": "gems", "quantity": 2});
    let created = post(&app, &token, "/api/wx/createOrder", "k", gems).await;
    let id = created.body["orderId"].as_str().unwrap();
    let pay = format!("{}/_sim/pay/orders/{id}/pay", app.simulator);
    let paid = app
        .send(avalon_tests::client().post(pay).json(&json!({})))
        .await;
    assert!(paid.status.is_success(), "{paid:?}");
    let owned = avalon_test_support::eventually(std::time::Duration::from_secs(10), async || {
        // The callback's job is enqueued after its response.
        app.run_due().await;
        let items = get(&app, &token, "/api/wx/inventory").await.body["items"].clone();
        match items[0]["quantity"] == 2 {
            true => Ok(()),
            false => Err(items),
        }
    });
    owned.await;
    let two = json!({"productId": "gems", "quantity": 2});
    let consumed = post(&app, &token, "/api/wx/consume", "c1", two.clone()).await;
    assert_eq!(consumed.body["item"]["quantity"], 0, "{consumed:?}");
    let again = post(&app, &token, "/api/wx/consume", "c2", two).await;
    assert_eq!(again.status, 409, "{again:?}");
}

#[tokio::test]
async fn forged_callback_is_rejected() {
    let (app, _) = shop().await;
    let notify = app.request(Method::POST, "/api/wx/pay/notify");
    let response = app.send(notify.json(&json!({}))).await;
    assert_eq!(response.status, 401, "{response:?}");
}
