//! Deliveries of virtual payment during kills: each grants once, however often and in whatever order it comes.

use std::time::Duration;

use avalon_simulator::VirtualPaymentCredentials;
use avalon_test_support::{Fleet, FleetSettings, RedisServer, TestDatabase, eventually_eq};
use avalon_tests::wechat_push::{credentials, push};
use avalon_tests::{client, send};
use avalon_wechat::virtual_payment::{AppKey, pay_event_sig};
use futures_util::{StreamExt, stream};
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::PgPool;

const TIMEOUT: Duration = Duration::from_secs(120);
const EVENT: &str = "minigame_game_pay_goods_deliver_notify";
const PLAYERS: usize = 25;
const ORDERS_PER_PLAYER: usize = 16;
const ORDERS: usize = PLAYERS * ORDERS_PER_PLAYER;
/// Deliveries between two kills of a worker.
const BETWEEN_KILLS: usize = 240;

struct Sold {
    order: String,
    open_id: String,
}

async fn sell(fleet: &Fleet, client: &Client, player: usize) -> Vec<Sold> {
    let signed_in = fleet.login(&format!("sim-p{player}")).await.unwrap();
    let body: Value = signed_in.json().await.unwrap();
    let open_id = body["userInfo"]["openId"].as_str().unwrap();
    let mut sold = Vec::new();
    for number in 0..ORDERS_PER_PLAYER {
        let url = format!("{}/api/wx/createOrder", fleet.apis[0].http);
        let request = client
            .post(url)
            .bearer_auth(body["token"].as_str().unwrap());
        let request = request.header("idempotency-key", format!("k{number}"));
        let order = json!({"productId": "cup", "quantity": 1, "channel": "virtual_payment"});
        let response = send(request.json(&order)).await;
        assert_eq!(response.status, 200, "{response:?}");
        sold.push(Sold {
            order: response.body["orderId"].as_str().unwrap().to_owned(),
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

/// Pushes deliveries, sixteen at a time; every answer must be a success.
async fn push_all(fleet: &Fleet, client: &Client, deliveries: &[&Sold]) {
    let pushes = deliveries.iter().enumerate().map(|(index, sold)| {
        let api = &fleet.apis[index % fleet.apis.len()].http;
        let request = push(client, api, &delivery(sold));
        async move {
            let response = send(request).await;
            assert_eq!(response.body["ErrCode"], 0, "{response:?}");
        }
    });
    let all = stream::iter(pushes).buffer_unordered(16);
    all.collect::<Vec<_>>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shuffled_repeated_deliveries_grant_once_despite_kills() {
    let database = TestDatabase::postgres().await;
    let redis = RedisServer::start().await;
    let test = VirtualPaymentCredentials::TEST;
    let mut fleet = FleetSettings::new(database.url(), &redis.url())
        .env("AVALON_PUSH__CREDENTIALS", credentials())
        .env("AVALON_VPAY__OFFER_ID", test.offer_id)
        .env("AVALON_VPAY__APP_KEY", test.app_key)
        .start(2, 2)
        .await;
    // Workers are killed, perhaps within a job whose lease expires after the test.
    for queue in ["maintenance", "callback", "order", "event"] {
        fleet.expect_leftover(queue);
    }
    let client = client();
    let cup = json!({"name": "Cup", "price": 600, "virtualProductId": "cup"});
    let put = client.put(format!("{}/admin/products/cup", fleet.apis[0].ops));
    let put = send(put.bearer_auth(FleetSettings::ADMIN_TOKEN).json(&cup)).await;
    assert_eq!(put.status, 200, "{put:?}");
    let mut sold = Vec::new();
    for player in 0..PLAYERS {
        sold.extend(sell(&fleet, &client, player).await);
    }
    let mut deliveries: Vec<&Sold> = sold.iter().chain(&sold).chain(&sold).collect();
    fastrand::shuffle(&mut deliveries);
    for (turn, some) in deliveries.chunks(BETWEEN_KILLS).enumerate() {
        push_all(&fleet, &client, some).await;
        let workers = &mut fleet.workers[turn % 2];
        workers.kill9();
        workers.restart().await;
    }

    let pool = PgPool::connect(database.url()).await.unwrap();
    let number = async |sql: &'static str| -> i64 {
        sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap()
    };
    let expected = i64::try_from(ORDERS).unwrap();
    let paid = "SELECT count(*) FROM orders WHERE status = 'paid'";
    eventually_eq(TIMEOUT, expected, async || number(paid).await).await;
    let pending = "SELECT count(*) FROM pushes WHERE outcome IS NULL";
    eventually_eq(TIMEOUT, 0, async || number(pending).await).await;
    let owned = "SELECT CAST(sum(quantity) AS BIGINT) FROM inventory";
    assert_eq!(number(owned).await, expected);
    assert_eq!(
        number("SELECT count(*) FROM inventory_ledger").await,
        expected
    );
}
