//! What a ban ends besides sessions, and that it outlives the store of sessions.

use std::time::Duration;

use avalon_test_support::{
    Fleet, FleetSettings, RedisServer, TestDatabase, eventually_eq, shared_redis_url, unique_prefix,
};
use avalon_tests::sessions::{get, inventory, sign_in};
use avalon_tests::{ApiResponse, Game, send};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(20);

async fn ban(fleet: &Fleet, session: &Value) {
    let open_id = session["userInfo"]["openId"].as_str().unwrap();
    let url = format!("{}/admin/users/{open_id}/ban", fleet.apis[0].ops);
    let banned = admin(fleet.client().post(url).json(&json!({}))).await;
    assert_eq!(banned.status, 200, "{banned:?}");
}

async fn admin(request: reqwest::RequestBuilder) -> ApiResponse {
    send(request.bearer_auth(FleetSettings::ADMIN_TOKEN)).await
}

async fn stop_workers(fleet: &mut Fleet) {
    fleet.workers[0].terminate();
    assert!(fleet.workers[0].wait_exit().await.success());
}

#[tokio::test]
async fn ban_ends_streams_long_polls_and_queued_orders() {
    let database = TestDatabase::postgres().await;
    let settings = FleetSettings::new(database.url(), &shared_redis_url().await)
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix());
    let mut fleet = settings.with_payments().start(1, 1).await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    game.sell(&fleet.apis[0], "hat", 100).await;
    let session = sign_in(&game, "mallory", "phone", "ios").await;
    // The order stays in the queue.
    stop_workers(&mut fleet).await;
    let order = game.client.post(game.url("/api/wx/createOrder"));
    let order = order.header("idempotency-key", "k-1");
    let order = order.header("prefer", "respond-async");
    let order = order.bearer_auth(session["token"].as_str().unwrap());
    let queued = send(order.json(&json!({"productId": "hat", "quantity": 1}))).await;
    assert_eq!(queued.status, 202, "{queued:?}");
    let job = queued.header("location").to_owned();
    let stream = get(&game, &session, &format!("{job}/events"));
    let stream = stream.send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let poll = send(get(&game, &session, &format!("{job}?wait=3")));
    let banned = async {
        // The poll has begun.
        tokio::time::sleep(Duration::from_millis(200)).await;
        ban(&fleet, &session).await;
    };
    let (poll, ()) = tokio::join!(poll, banned);
    poll.assert_problem(403, "USER_BANNED");
    let rest = tokio::time::timeout(Duration::from_secs(8), stream.text()).await;
    let rest = rest.expect("the stream ends").unwrap();
    assert_eq!(rest.matches("event: job").count(), 1, "{rest}");

    fleet.add_workers().await;
    let ops = &fleet.apis[0].ops;
    let id = job.rsplit('/').next().unwrap();
    let ended = format!("{ops}/admin/jobs/{id}");
    eventually_eq(TIMEOUT, json!("USER_BANNED"), async || {
        admin(game.client.get(&ended)).await.body["error"]["code"].clone()
    })
    .await;
    let open_id = session["userInfo"]["openId"].as_str().unwrap();
    let orders = game
        .client
        .get(format!("{ops}/admin/orders?openId={open_id}"));
    assert_eq!(admin(orders).await.body["orders"], json!([]));
}

#[tokio::test]
async fn ban_outlives_sessions_restored_from_a_backup() {
    let database = TestDatabase::postgres().await;
    let mut redis = RedisServer::reserve().with_settable_clock();
    redis.launch().await;
    let mut fleet = Fleet::start(1, 1, database.url(), &redis.url()).await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    let session = sign_in(&game, "mallory", "phone", "ios").await;
    let user = session["userInfo"]["_id"].as_str().unwrap();
    let key = format!("avalon:v1:sessions:{user}");
    let backup: Vec<u8> = redis.run(&["DUMP", &key]).await.unwrap();
    ban(&fleet, &session).await;
    inventory(&game, &session)
        .await
        .assert_problem(403, "USER_BANNED");

    // The restored document knows nothing of the ban: without the database, the player plays on.
    stop_workers(&mut fleet).await;
    let mut connection = redis::Client::open(redis.url())
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    redis::cmd("RESTORE")
        .arg(&key)
        .arg(0)
        .arg(backup)
        .arg("REPLACE")
        .exec_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(inventory(&game, &session).await.status, 200);
    // The next run of the schedule, half a minute later.
    redis.set_clock(30);
    fleet.add_workers().await;
    eventually_eq(TIMEOUT, "USER_BANNED".to_owned(), async || {
        inventory(&game, &session).await.code().to_owned()
    })
    .await;
}
