//! Gift packs of WeChat during outages and kills: each granted once, and no answer that opens WeChat's breaker.

use std::time::{Duration, Instant};

use avalon_test_support::{Fleet, FleetSettings, RedisServer, TestDatabase, eventually_eq};
use avalon_tests::wechat_push::{credentials, push};
use avalon_tests::{client, send};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use sqlx::PgPool;

const TIMEOUT: Duration = Duration::from_secs(120);
/// WeChat may wait longer, but the answer should take no more than this.
const BUDGET: Duration = Duration::from_secs(3);
const PLAYERS: usize = 20;
const GIFTS: usize = 1000;

fn gift(number: usize, open_ids: &[String]) -> Value {
    json!({"MsgType": "event", "Event": "minigame_deliver_goods", "MiniGame": {
        "OrderId": format!("r{number}"), "IsPreview": 0, "ToUserOpenid": open_ids[number % open_ids.len()],
        "Zone": 1001, "GiftTypeId": 1, "GiftId": "daily", "SendTime": 1_790_000_000,
        "GoodsList": [{"Id": "gem", "Num": 3}]}})
}

/// Pushes each gift, sixteen at a time; every answer must be a success.
async fn push_all(fleet: &Fleet, open_ids: &[String], numbers: std::ops::Range<usize>) {
    let client = client();
    let pushes = numbers.map(|number| {
        let api = &fleet.apis[number % fleet.apis.len()].http;
        let request = push(&client, api, &gift(number, open_ids));
        async move {
            let started = Instant::now();
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 200);
            let answer = response.text().await.unwrap();
            assert_eq!(
                answer, r#"{"ErrCode":0,"ErrMsg":"Success"}"#,
                "gift {number}"
            );
            assert!(started.elapsed() < BUDGET, "{:?}", started.elapsed());
        }
    });
    stream::iter(pushes)
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_gifts_pushed_three_times_are_granted_once() {
    let database = TestDatabase::postgres().await;
    let mut redis = RedisServer::start().await;
    let mut fleet = FleetSettings::new(database.url(), &redis.url())
        .env("AVALON_PUSH__CREDENTIALS", credentials())
        .start(2, 2)
        .await;
    // Workers are killed, perhaps within a sweep, whose lease expires after the test.
    fleet.expect_leftover("maintenance");
    fleet.expect_leftover("callback");
    let (client, ops) = (client(), fleet.apis[0].ops.clone());
    let admin = async |path: &str, body: Value| {
        let put = client.put(format!("{ops}{path}")).json(&body);
        let response = send(put.bearer_auth(FleetSettings::ADMIN_TOKEN)).await;
        assert_eq!(response.status, 200, "{response:?}");
    };
    admin(
        "/admin/products/gems",
        json!({"name": "Gems", "price": 100}),
    )
    .await;
    admin(
        "/admin/gifts/gem",
        json!({"items": [{"productId": "gems", "quantity": 1}]}),
    )
    .await;
    let mut open_ids = Vec::new();
    for number in 0..PLAYERS {
        let signed_in = fleet.login(&format!("sim-p{number}")).await.unwrap();
        let body: Value = signed_in.json().await.unwrap();
        open_ids.push(body["userInfo"]["openId"].as_str().unwrap().to_owned());
    }

    push_all(&fleet, &open_ids, 0..GIFTS / 2).await;
    fleet.workers[0].kill9();
    // Redis and all workers are down: WeChat notices nothing.
    redis.stop();
    fleet.workers[1].kill9();
    push_all(&fleet, &open_ids, 0..GIFTS).await;
    redis.restart().await;
    for workers in &mut fleet.workers {
        workers.restart().await;
    }
    push_all(&fleet, &open_ids, 0..GIFTS).await;
    for turn in 0..2 {
        fleet.workers[turn].kill9();
        push_all(&fleet, &open_ids, GIFTS / 2..GIFTS * 3 / 4).await;
        fleet.workers[turn].restart().await;
    }

    let pool = PgPool::connect(database.url()).await.unwrap();
    let number = async |sql: &'static str| -> i64 {
        sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap()
    };
    let granted = "SELECT count(*) FROM gift_orders WHERE granted_at IS NOT NULL";
    eventually_eq(TIMEOUT, 1000, async || number(granted).await).await;
    assert_eq!(number("SELECT count(*) FROM rewards").await, 1000);
    assert_eq!(
        number("SELECT CAST(sum(quantity) AS BIGINT) FROM inventory").await,
        3000
    );
    assert_eq!(number("SELECT count(*) FROM inventory_ledger").await, 1000);
    let pending = "SELECT count(*) FROM pushes WHERE outcome IS NULL";
    eventually_eq(TIMEOUT, 0, async || number(pending).await).await;
}
