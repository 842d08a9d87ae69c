//! What a ban ends besides sessions.

use std::time::Duration;

use avalon_test_support::FleetSettings;
use avalon_tests::send;
use avalon_tests::sessions::{sign_in, two_apis};
use serde_json::json;

#[tokio::test]
async fn ban_ends_running_streams_and_queued_orders() {
    let (_database, mut fleet, [game, _]) = two_apis().await;
    game.sell(&fleet.apis[0], "hat", 100).await;
    let session = sign_in(&game, "mallory", "phone", "ios").await;
    let token = session["token"].as_str().unwrap();
    fleet.workers[0].terminate();
    assert!(fleet.workers[0].wait_exit().await.success());
    let order = game.client.post(game.url("/api/wx/createOrder"));
    let order = order.bearer_auth(token).header("idempotency-key", "k-1");
    let order = order.header("prefer", "respond-async");
    let queued = send(order.json(&json!({"productId": "hat", "quantity": 1}))).await;
    assert_eq!(queued.status, 202, "{queued:?}");
    let id = queued.body["jobId"].as_str().unwrap();
    let stream = game.client.get(game.url(&format!("/api/jobs/{id}/events")));
    let stream = stream.bearer_auth(token).send().await.unwrap();
    assert_eq!(stream.status(), 200);

    let admin =
        |request: reqwest::RequestBuilder| send(request.bearer_auth(FleetSettings::ADMIN_TOKEN));
    let ops = fleet.apis[0].ops.clone();
    let open_id = session["userInfo"]["openId"].as_str().unwrap();
    let ban = format!("{ops}/admin/users/{open_id}/ban");
    let banned = admin(game.client.post(ban).json(&json!({}))).await;
    assert_eq!(banned.status, 200, "{banned:?}");
    let rest = tokio::time::timeout(Duration::from_secs(8), stream.text()).await;
    let rest = rest.expect("the stream ends").unwrap();
    assert!(!rest.contains("succeeded"), "{rest}");

    fleet.add_workers().await;
    let job = format!("{ops}/admin/jobs/{id}");
    avalon_test_support::eventually_eq(Duration::from_secs(20), json!("USER_BANNED"), async || {
        admin(game.client.get(&job)).await.body["error"]["code"].clone()
    })
    .await;
    let orders = format!("{ops}/admin/orders?openId={open_id}");
    assert_eq!(
        admin(game.client.get(orders)).await.body["orders"],
        json!([])
    );
}
