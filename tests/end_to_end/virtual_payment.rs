//! Virtual payment over real processes: deliveries that are pushed as WeChat does, in secure mode, while parts of the
//! service are killed or down.

mod kills;
mod outages;

use std::time::Duration;

use avalon_simulator::VirtualPaymentCredentials;
use avalon_test_support::{Fleet, FleetSettings, RedisServer, TestDatabase};
use avalon_tests::send;
use avalon_tests::wechat_push::credentials;
use avalon_wechat::virtual_payment::{AppKey, pay_event_sig};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use sqlx::PgPool;

const EVENT: &str = "minigame_game_pay_goods_deliver_notify";
const ORDERS_PER_PLAYER: usize = 16;
/// Players who order at a time.
const CONCURRENT_PLAYERS: usize = 8;

/// An order of a cup for 6 yuan.
#[derive(Clone)]
struct Sold {
    order: String,
    open_id: String,
}

/// Starts a service of virtual payment that sells cups.
async fn open(database: &TestDatabase, redis: &RedisServer, apis: usize, workers: usize) -> Fleet {
    let test = VirtualPaymentCredentials::TEST;
    let fleet = FleetSettings::new(database.url(), &redis.url())
        .env("AVALON_PUSH__CREDENTIALS", credentials())
        .env("AVALON_VPAY__OFFER_ID", test.offer_id)
        .env("AVALON_VPAY__APP_KEY", test.app_key)
        .env("AVALON_QUEUE__LEASE_TIMEOUT", "5s")
        .start(apis, workers)
        .await;
    // Workers are killed, perhaps within a job whose lease expires after the test.
    for queue in ["maintenance", "callback", "order", "event"] {
        fleet.expect_leftover(queue);
    }
    // Queries that WeChat has not answered, or that have lost five workers, may be dead: the sweeper repeats them. Jobs
    // of deliveries are not declared: none may die.
    fleet.allow_dead("order");
    let cup = json!({"name": "Cup", "price": 600, "virtualProductId": "cup"});
    let put = fleet
        .client()
        .put(format!("{}/admin/products/cup", fleet.apis[0].ops));
    let put = send(put.bearer_auth(FleetSettings::ADMIN_TOKEN).json(&cup)).await;
    assert_eq!(put.status, 200, "{put:?}");
    fleet
}

/// Has players order this number of cups.
async fn sell(fleet: &Fleet, number: usize) -> Vec<Sold> {
    let players = 0..number.div_ceil(ORDERS_PER_PLAYER);
    let orders: Vec<Vec<Sold>> = stream::iter(players)
        .map(|player| sell_to(fleet, player))
        .buffer_unordered(CONCURRENT_PLAYERS)
        .collect()
        .await;
    let mut sold: Vec<_> = orders.into_iter().flatten().collect();
    sold.truncate(number);
    sold
}

async fn sell_to(fleet: &Fleet, player: usize) -> Vec<Sold> {
    let signed_in = fleet.login(&format!("sim-p{player}")).await.unwrap();
    let body: Value = signed_in.json().await.unwrap();
    let open_id = body["userInfo"]["openId"].as_str().unwrap();
    let mut sold = Vec::new();
    for number in 0..ORDERS_PER_PLAYER {
        let url = format!("{}/api/wx/createOrder", fleet.apis[0].http);
        let order = json!({"productId": "cup", "quantity": 1, "channel": "virtual_payment"});
        // A repeat continues: under load a request may not wait for its job.
        let created = loop {
            let request = fleet.client().post(&url).json(&order);
            let request = request.header("idempotency-key", format!("k{number}"));
            let response = send(request.bearer_auth(body["token"].as_str().unwrap())).await;
            match response.status.as_u16() {
                200 => break response.body,
                202 | 503 => tokio::time::sleep(Duration::from_millis(100)).await,
                _ => panic!("{response:?}"),
            }
        };
        sold.push(Sold {
            order: created["orderId"].as_str().unwrap().to_owned(),
            open_id: open_id.to_owned(),
        });
    }
    sold
}

fn delivery(sold: &Sold) -> Value {
    let payload = json!({"OpenId": sold.open_id, "Env": 0, "OutTradeNo": sold.order,
        "GoodsInfo": {"ProductId": "cup", "Quantity": 1, "OrigPrice": 600, "ActualPrice": 600,
            "OrderSource": 1},
        "WeChatPayInfo": {"MchOrderNo": "m", "TransactionId": format!("t-{}", sold.order)}})
    .to_string();
    let key = AppKey::new(VirtualPaymentCredentials::TEST.app_key.into());
    json!({"ToUserName": "gh_1", "FromUserName": "o", "CreateTime": 1, "MsgType": "event", "Event": EVENT,
        "MiniGame": {"Payload": payload, "PayEventSig": pay_event_sig(&key, EVENT, &payload)}})
}

/// Returns the result of a `SELECT` of one number.
async fn number(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

const PAID: &str = "SELECT count(*) FROM orders WHERE status = 'paid'";
const PENDING_PUSHES: &str = "SELECT count(*) FROM pushes WHERE outcome IS NULL";
const OWNED: &str = "SELECT CAST(coalesce(sum(quantity), 0) AS BIGINT) FROM inventory";
const GRANTS: &str = "SELECT count(*) FROM inventory_ledger";

/// A size from an environment variable: the suite runs a short form of the test.
fn size(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| {
        let size = text.parse();
        size.unwrap_or_else(|_| panic!("{variable}: {text}"))
    })
}
