//! Virtual payment: deliveries that do not arrive, cannot be verified or contradict, another AppKey, coins whose
//! state is unknown, and pushes that cannot be stored.

use std::time::Duration;

use avalon_simulator::VirtualPaymentCredentials;
use avalon_test_support::{FleetSettings, eventually_eq};
use avalon_tests::wechat_push::credentials;
use avalon_tests::{ApiResponse, Client, Player, send};
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;

use super::harness::{Drill, Stores};

pub(super) const ALERTS: &[&str] = &[
    "CoinAuditDiffers",
    "CoinSpendsUnsettled",
    "DeliveriesContradictOrders",
    "OrdersWithoutDeliveries",
    "PaymentPushesUnverified",
    "ProductPricesDiffer",
    "PushAnswersSlow",
    "VirtualPaymentMisconfigured",
];
const TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::test]
#[ignore = "takes minutes; run by scripts/alert-drill"]
async fn drill() {
    let stores = Stores::start().await;
    let test = VirtualPaymentCredentials::TEST;
    let fleet = stores
        .fleet()
        .env("AVALON_VPAY__OFFER_ID", test.offer_id)
        .env("AVALON_VPAY__APP_KEY", test.app_key)
        .env("AVALON_PUSH__CREDENTIALS", credentials())
        .env("AVALON_PAY__RECONCILE_AFTER", "1s")
        .start(1, 1)
        .await;
    let mut drill = Drill::of(fleet, ALERTS).await;
    let product = json!({"name": "60 gems", "price": 600, "virtualProductId": "gems-60"});
    let request = operator(&drill, "PUT", "products/gems-60").json(&product);
    assert_eq!(send(request).await.status, 200);
    let url = format!("{}/api/wx/push", drill.fleet.apis[0].http);
    // WeChat repeats soon, so that what failed is delivered after the fault.
    let schedule: Vec<u64> = (1..=15).map(|step| 500 * step).collect();
    push_settings(&drill, json!({"url": url, "scheduleMs": schedule})).await;

    no_deliveries(&mut drill).await;
    wrong_signature(&mut drill).await;
    unknown_product(&mut drill).await;
    other_app_key(&mut drill, test.app_key).await;
    let mut database = PgConnection::connect(stores.database.url()).await.unwrap();
    unsettled(&mut drill, &mut database).await;
    unknown_coins(&mut drill, &mut database).await;
    other_price(&mut drill).await;
    locked(&mut drill, &mut database).await;
    drill.finish();
}

/// First, since no delivery may have arrived shortly before.
async fn no_deliveries(drill: &mut Drill) {
    let fault = drill
        .fault(
            "WeChat's deliveries do not arrive",
            &["OrdersWithoutDeliveries"],
        )
        .await;
    push_settings(drill, json!({"mode": "drop"})).await;
    for _ in 0..6 {
        buy(drill).await;
        sleep(Duration::from_millis(700)).await;
    }
    drill.fires(&fault).await;
    push_settings(drill, json!({"mode": "normal"})).await;
    buy(drill).await;
    drill.ends(fault).await;
}

async fn wrong_signature(drill: &mut Drill) {
    let fault = drill
        .fault(
            "the payment signature of a delivery is wrong",
            &["PaymentPushesUnverified"],
        )
        .await;
    push_settings(drill, json!({"payEventSig": "wrong"})).await;
    buy(drill).await;
    drill.fires(&fault).await;
    push_settings(drill, json!({"payEventSig": "right"})).await;
    drill.ends(fault).await;
}

async fn unknown_product(drill: &mut Drill) {
    let fault = drill
        .fault(
            "the store sells what no product here is",
            &["DeliveriesContradictOrders"],
        )
        .await;
    let price = json!({"price": 300});
    drill.game.set("vpay/products/shield", price).await;
    let alice = Client::sign_in(&drill.game, "alice").await;
    let order = json!({"openid": alice.open_id, "productId": "shield", "quantity": 1});
    drill.game.simulator("vpay/store-orders", order).await;
    drill.fires(&fault).await;
    drill.ends(fault).await;
}

async fn other_app_key(drill: &mut Drill, app_key: &str) {
    let fault = drill
        .fault(
            "the AppKey was changed in WeChat's console",
            &["VirtualPaymentMisconfigured"],
        )
        .await;
    let key = |key: &str| json!({ "appKey": key });
    drill
        .game
        .set("vpay/keys", key("Another0AppKey0Of0The0Console000"))
        .await;
    coins(drill).await;
    drill.fires(&fault).await;
    drill.game.set("vpay/keys", key(app_key)).await;
    drill.ends(fault).await;
}

async fn unsettled(drill: &mut Drill, database: &mut PgConnection) {
    let fault = drill
        .fault(
            "nothing is known of a change of coins",
            &["CoinSpendsUnsettled"],
        )
        .await;
    let alice = Client::sign_in(&drill.game, "alice").await;
    let present = operator(drill, "POST", &format!("users/{}/coins", alice.open_id));
    let present = present.header("idempotency-key", "a-drill");
    let gift = json!({"amount": 7, "reason": "a drill"});
    let granted = send(present.json(&gift)).await;
    assert_eq!(granted.status, 202, "{granted:?}");
    let number = granted.body["change"]["id"].as_str().unwrap().to_owned();
    // As if WeChat had not answered for 47 hours.
    let lose = "UPDATE coin_changes SET state = 'unsettled' WHERE id = $1 AND state = 'done'";
    eventually_eq(TIMEOUT, 1, async || {
        let lost = sqlx::query(lose).bind(&number).execute(&mut *database);
        lost.await.unwrap().rows_affected()
    })
    .await;
    drill.fires(&fault).await;
    let decision = json!({"applied": true, "reason": "shown in the console"});
    let settle = operator(drill, "POST", &format!("coins/{number}/settle"));
    assert_eq!(send(settle.json(&decision)).await.status, 200);
    drill.ends(fault).await;
}

async fn unknown_coins(drill: &mut Drill, database: &mut PgConnection) {
    let fault = drill
        .fault(
            "a player has coins at WeChat of which nothing here knows",
            &["CoinAuditDiffers"],
        )
        .await;
    let alice = Client::sign_in(&drill.game, "alice").await;
    let path = format!("vpay/players/{}/coins", alice.open_id);
    drill.game.simulator(&path, json!({"bought": 50})).await;
    // As after a first comparison that agreed, and one half an hour ago that did not.
    let compared = "UPDATE coin_audits SET due_at = 0, saved_before = 0, presented_before = 0,
                    spent_before = 0, differing = 1";
    let compared = sqlx::query(compared).execute(&mut *database).await.unwrap();
    assert_eq!(
        compared.rows_affected(),
        1,
        "the present has enrolled the player"
    );
    drill.fires(&fault).await;
    let accept = drill.fleet.settings.command("coins").arg("accept");
    let accept = accept.arg(&alice.open_id).arg("--reason").arg("a drill");
    assert!(accept.run().await.status.success());
    drill.ends(fault).await;
}

async fn other_price(drill: &mut Drill) {
    let fault = drill
        .fault(
            "clients report that the sheet refuses a price",
            &["ProductPricesDiffer"],
        )
        .await;
    let alice = drill.game.player("alice").await;
    for _ in 0..4 {
        let params = json!({"channel": "virtual_payment", "code": -15016});
        let now = Timestamp::now().as_millisecond();
        let event = json!({"eventName": "$payment", "eventParams": params, "timestamp": now});
        let reported = alice.post("/api/wx/report", "unused", json!({"events": [event]}));
        assert_eq!(reported.await.body["accepted"], 1);
        sleep(Duration::from_secs(1)).await;
    }
    drill.fires(&fault).await;
    drill.ends(fault).await;
}

async fn locked(drill: &mut Drill, database: &mut PgConnection) {
    let fault = drill
        .fault("pushes cannot be stored in time", &["PushAnswersSlow"])
        .await;
    let lock = "BEGIN; LOCK TABLE pushes IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut *database).await.unwrap();
    buy(drill).await;
    drill.fires(&fault).await;
    sqlx::raw_sql("COMMIT").execute(database).await.unwrap();
    drill.ends(fault).await;
}

/// Buys an item and pays in the payment sheet.
async fn buy(drill: &mut Drill) {
    let alice = Client::sign_in(&drill.game, "alice").await;
    let key = format!("k{}", fastrand::u64(..));
    let token = alice.token.clone();
    let player = Player {
        game: &drill.game,
        token,
    };
    let created = player.order("gems-60", 1, &key).await;
    assert_eq!(created.status, 200, "{created:?}");
    let params = &created.body["payParams"];
    let sheet = json!({"openid": alice.open_id, "signData": params["signData"],
        "paySig": params["paySig"], "signature": params["signature"]});
    let path = "vpay/request-midas-payment-game-item";
    drill.game.simulator(path, sheet).await;
}

/// Reads a player's coins, which takes a signed call.
async fn coins(drill: &Drill) -> ApiResponse {
    let alice = Client::sign_in(&drill.game, "alice").await;
    let request = drill.game.client.get(drill.game.url("/api/wx/coins"));
    send(request.bearer_auth(&alice.token)).await
}

async fn push_settings(drill: &Drill, settings: Value) {
    drill.game.set("vpay/push-settings", settings).await;
}

fn operator(drill: &Drill, method: &str, path: &str) -> reqwest::RequestBuilder {
    let url = format!("{}/admin/{path}", drill.fleet.apis[0].ops);
    let method = method.parse().unwrap();
    let request = drill.game.client.request(method, url);
    request.bearer_auth(FleetSettings::ADMIN_TOKEN)
}
