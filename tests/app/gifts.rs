//! Gift packs that WeChat pushes: granted once, previews to no one, and waiting for a mapping.

use avalon_queue::NewJob;
use avalon_test_support::TestDatabase;
use avalon_tests::app::TestApp;
use avalon_tests::wechat_push::{credentials, push};
use avalon_workers::SweepSocial;
use reqwest::Method;
use serde_json::{Value, json};

const ACCEPTED: &str = r#"{"ErrCode":0,"ErrMsg":"Success"}"#;

async fn game(database: TestDatabase) -> TestApp {
    let app = TestApp::builder()
        .database(database)
        .set("PUSH__CREDENTIALS", credentials())
        .start()
        .await;
    for product in ["gems", "gold"] {
        let put = app.admin(Method::PUT, &format!("/admin/products/{product}"));
        let put = put.json(&json!({"name": product, "price": 100}));
        assert_eq!(app.send(put).await.status, 200);
    }
    app
}

async fn databases() -> [TestDatabase; 2] {
    [TestDatabase::sqlite(), TestDatabase::postgres().await]
}

fn gift(order: &str, open_id: &str, items: &Value) -> Value {
    json!({"MsgType": "event", "Event": "minigame_deliver_goods", "MiniGame": {
        "OrderId": order, "IsPreview": 0, "ToUserOpenid": open_id, "Zone": 2001, "GiftTypeId": 1,
        "GiftId": "pack", "SendTime": 1_790_000_000, "GoodsList": items}})
}

async fn answer(app: &TestApp, message: &Value) -> String {
    let response = push(&avalon_tests::client(), &app.api, message)
        .send()
        .await;
    let response = response.unwrap();
    assert_eq!(response.status(), 200, "{message}");
    let text = response.text().await.unwrap();
    // Its job is enqueued after the response.
    for _ in 0..100 {
        if app.run_due().await > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    text
}

async fn map(app: &TestApp, id: &str, items: Value) -> Value {
    let put = app.admin(Method::PUT, &format!("/admin/gifts/{id}"));
    let response = app.send(put.json(&json!({"items": items}))).await;
    assert_eq!(response.status, 200, "{response:?}");
    response.body
}

async fn listed(app: &TestApp, query: &str) -> Value {
    let list = app.admin(Method::GET, &format!("/admin/gifts{query}"));
    app.send(list).await.body
}

async fn player(app: &TestApp, name: &str) -> (String, String) {
    let body = app.sign_in(name).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&body["token"]), text(&body["userInfo"]["openId"]))
}

async fn owned(app: &TestApp, token: &str) -> Value {
    let request = app.request(Method::GET, "/api/wx/inventory");
    app.send(request.bearer_auth(token)).await.body["items"].clone()
}

#[tokio::test]
async fn gift_is_granted_once_and_a_preview_to_no_one() {
    for database in databases().await {
        let app = game(database).await;
        let (token, open_id) = player(&app, "alice").await;
        map(&app, "a", json!([{"productId": "gems", "quantity": 10}])).await;
        let message = gift("r1", &open_id, &json!([{"Id": "a", "Num": 2}]));
        for _ in 0..3 {
            assert_eq!(answer(&app, &message).await, ACCEPTED);
        }
        let mut preview = gift("r2", &open_id, &json!([{"Id": "a", "Num": 2}]));
        preview["MiniGame"]["IsPreview"] = 1.into();
        assert_eq!(answer(&app, &preview).await, ACCEPTED);
        let gems = json!([{"productId": "gems", "quantity": 20}]);
        assert_eq!(owned(&app, &token).await, gems);

        // An operator's replay grants nothing more.
        let orders = listed(&app, "").await["orders"].clone();
        assert_eq!(orders.as_array().unwrap().len(), 1, "{orders}");
        assert!(orders[0]["grantedAt"].is_string(), "{orders}");
        let id = orders[0]["pushId"].as_str().unwrap();
        let replay = app.admin(Method::POST, &format!("/admin/pushes/{id}/replay"));
        assert_eq!(app.send(replay).await.status, 202);
        assert_eq!(owned(&app, &token).await, gems);
    }
}

#[tokio::test]
async fn unmapped_gift_is_granted_once_it_is_mapped() {
    for database in databases().await {
        let app = game(database).await;
        let (token, open_id) = player(&app, "alice").await;
        let items = json!([{"Id": "a", "Num": 1}, {"Id": "b", "Num": 3}]);
        assert_eq!(answer(&app, &gift("r1", &open_id, &items)).await, ACCEPTED);
        assert_eq!(
            listed(&app, "?status=waiting").await["orders"][0]["orderId"],
            "r1"
        );
        let metrics = app.admin(Method::GET, "/metrics").send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        assert!(
            metrics.contains("avalon_gifts_total{outcome=\"unmapped\"} 1\n"),
            "{metrics}"
        );
        assert!(metrics.contains("avalon_gifts_waiting 1\n"));

        let one = json!([{"productId": "gems", "quantity": 10}]);
        assert_eq!(
            map(&app, "a", one.clone()).await["granted"],
            0,
            "b is not mapped"
        );
        assert_eq!(
            map(&app, "b", json!([{"productId": "gold", "quantity": 1}])).await["granted"],
            1
        );
        let both =
            json!([{"productId": "gems", "quantity": 10}, {"productId": "gold", "quantity": 3}]);
        assert_eq!(owned(&app, &token).await, both);
        assert_eq!(listed(&app, "?status=waiting").await["orders"], json!([]));
        app.app
            .queue
            .enqueue(NewJob::from_job(&SweepSocial {}))
            .await
            .unwrap();
        app.run_due().await;
        assert_eq!(owned(&app, &token).await, both);
    }
}

#[tokio::test]
async fn gift_before_the_first_sign_in_gets_wechats_code() {
    let app = game(TestDatabase::sqlite()).await;
    map(&app, "a", json!([{"productId": "gems", "quantity": 1}])).await;
    let open_id = {
        let (_, known) = player(&app, "alice").await;
        known.replace(&known[1..4], "zzz")
    };
    let message = gift("r1", &open_id, &json!([{"Id": "a", "Num": 1}]));
    let refused = answer(&app, &message).await;
    assert!(refused.contains("\"SubErrCode\":172935494"), "{refused}");
    assert_eq!(listed(&app, "").await["orders"], json!([]));
    assert!(
        answer(&app, &message).await.contains("172935494"),
        "and its repeat"
    );
    // The player signs in, and WeChat repeats the push.
    sqlx::query("UPDATE users SET open_id = $1")
        .bind(&open_id)
        .execute(app.app.database.pool())
        .await
        .unwrap();
    for _ in 0..2 {
        assert_eq!(answer(&app, &message).await, ACCEPTED);
    }
    let orders = listed(&app, "").await["orders"].clone();
    assert_eq!(orders.as_array().unwrap().len(), 1, "{orders}");
    assert!(orders[0]["grantedAt"].is_string(), "{orders}");
}

#[tokio::test]
async fn mapping_needs_products_and_positive_quantities() {
    let app = game(TestDatabase::sqlite()).await;
    for odd in [
        json!({"items": []}),
        json!({"items": [{"productId": "gems", "quantity": 0}]}),
        json!({"items": [{"productId": "unknown", "quantity": 1}]}),
        json!({"items": [{"productId": "gems", "quantity": 1}, {"productId": "gems", "quantity": 1}]}),
    ] {
        let put = app.admin(Method::PUT, "/admin/gifts/a").json(&odd);
        app.send(put).await.assert_problem(422, "FIELD_INVALID");
    }
    let odd = app.admin(Method::GET, "/admin/gifts?status=odd");
    app.send(odd).await.assert_problem(400, "QUERY_INVALID");
}
