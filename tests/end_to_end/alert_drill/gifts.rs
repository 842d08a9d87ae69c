//! Gift packs whose ids are not mapped.

use avalon_tests::wechat_push::{credentials, push};
use avalon_tests::{client, send};
use serde_json::json;

use super::harness::{Drill, Stores};

pub(super) const ALERTS: &[&str] = &["GiftsFail"];

#[tokio::test]
#[ignore = "takes minutes; run by scripts/alert-drill"]
async fn drill() {
    let stores = Stores::start().await;
    let fleet = stores
        .fleet()
        .env("AVALON_PUSH__CREDENTIALS", credentials())
        .start(1, 1)
        .await;
    let mut drill = Drill::of(fleet, ALERTS).await;
    let fault = drill
        .fault("a gift pack is not mapped", &["GiftsFail"])
        .await;
    let signed_in = drill.fleet.login("sim-alice").await.unwrap();
    let signed_in: serde_json::Value = signed_in.json().await.unwrap();
    let message = json!({"MsgType": "event", "Event": "minigame_deliver_goods", "MiniGame": {
        "OrderId": "r1", "IsPreview": 0, "ToUserOpenid": signed_in["userInfo"]["openId"], "Zone": 1001,
        "GiftId": "daily", "GoodsList": [{"Id": "gem", "Num": 1}]}});
    let api = drill.fleet.apis[0].http.clone();
    assert_eq!(
        push(&client(), &api, &message)
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    drill.fires(&fault).await;
    let map = client().put(format!("{}/admin/gifts/daily", drill.fleet.apis[0].ops));
    let map = map.json(&json!({"items": [{"productId": "gems-60", "quantity": 1}]}));
    let mapped = send(map.bearer_auth(avalon_test_support::FleetSettings::ADMIN_TOKEN)).await;
    assert_eq!(mapped.body["granted"], 1, "{mapped:?}");
    drill.ends(fault).await;
    drill.finish();
}
