//! Outages of WeChat, Redis and Postgres: the service degrades and recovers without intervention.

use std::time::{Duration, Instant};

use avalon_test_support::{
    Avalon, FleetSettings, PostgresServer, RedisServer, TestDatabase, eventually_eq,
    shared_redis_url, unique_prefix,
};
use avalon_tests::{Game, send};
use serde_json::json;
use sqlx::{Connection, PgConnection};

const TIMEOUT: Duration = Duration::from_secs(40);

async fn ready(game: &Game, ops: &str) -> u16 {
    send(game.client.get(format!("{ops}/readyz")))
        .await
        .status
        .as_u16()
}

#[tokio::test]
async fn misconfiguration_leaves_dead_letters_that_can_be_replayed() {
    let dev = Avalon::command("dev").start().await;
    let game = Game::of(&dev, &dev);
    // The app secret is wrong: no retry helps.
    game.faults(json!({"errcode": 40125, "api": "code2session"}))
        .await;
    let response = game.login_preferring("sim-alice", "wait=30").await;
    response.assert_problem(503, "WECHAT_MISCONFIGURED");
    assert_eq!(game.exchanges().await, 1, "one attempt was made");

    let list = Avalon::command("jobs")
        .arg("list")
        .arg("--json")
        .folder(dev.folder());
    let dead: serde_json::Value = serde_json::from_slice(&list.run().await.stdout).unwrap();
    assert_eq!(dead[0]["error"]["code"], "WECHAT_MISCONFIGURED");
    let id = dead[0]["jobId"].as_str().unwrap().to_owned();

    game.clear_faults().await;
    // A repeated request creates a new job; the dead one does not block it.
    assert_eq!(game.login("sim-alice").await.status, 200);
    let retry = Avalon::command("jobs")
        .arg("retry")
        .arg(&id)
        .folder(dev.folder())
        .run()
        .await;
    assert!(retry.status.success(), "{retry:?}");
    let job = Game::sign_in_job(&id, "sim-alice");
    assert_eq!(game.job(&job).await["status"], "succeeded");
}

#[tokio::test]
async fn wechat_rate_limit_delays_the_job_not_the_request() {
    let dev = Avalon::command("dev").start().await;
    let game = Game::of(&dev, &dev);
    let response = game.login_preferring("sim-error-45011", "wait=1").await;
    assert_eq!(
        (response.status.as_u16(), &response.body["status"]),
        (202, &json!("retrying"))
    );
    let job = game.get(response.header("location")).await.body;
    assert_eq!(job["error"]["code"], "WECHAT_RATE_LIMITED");
    assert_eq!(game.exchanges().await, 1, "not retried at once");
}

#[tokio::test]
async fn redis_outage_returns_503_then_recovers() {
    let database = TestDatabase::postgres().await;
    let mut redis = RedisServer::start().await;
    let fleet = FleetSettings::new(database.url(), &redis.url())
        .start(1, 1)
        .await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    assert_eq!(game.login("sim-alice").await.status, 200);

    redis.stop();
    let started = Instant::now();
    game.login("sim-bob")
        .await
        .assert_problem(503, "QUEUE_UNAVAILABLE");
    assert!(
        started.elapsed() < Duration::from_secs(6),
        "{:?}",
        started.elapsed()
    );
    let probe = format!("{}/readyz?need=any", fleet.apis[0].ops);
    let probe = send(game.client.get(probe)).await;
    assert_eq!(
        (probe.status.as_u16(), &probe.body["status"]),
        (200, &"ready".into())
    );
    let response = send(game.client.get(format!("{}/readyz", fleet.apis[0].ops))).await;
    assert_eq!(response.status, 503);
    assert_eq!(response.body["stores"]["database"], "ok");
    assert_ne!(response.body["stores"]["queue"], "ok");

    redis.restart().await;
    eventually_eq(TIMEOUT, 200, async || {
        game.login("sim-bob").await.status.as_u16()
    })
    .await;
    eventually_eq(TIMEOUT, 200, async || {
        ready(&game, &fleet.apis[0].ops).await
    })
    .await;
}

#[tokio::test]
async fn accepted_job_survives_a_killed_redis() {
    let database = TestDatabase::postgres().await;
    let mut redis = RedisServer::start().await;
    let fleet = FleetSettings::new(database.url(), &redis.url())
        .start(1, 1)
        .await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    // The request waits while Redis is killed: it gets a 202, since its job was accepted.
    let waiting = game.login_preferring("sim-slow-2500-carol", "wait=2");
    let killed = async {
        eventually_eq(TIMEOUT, 1, async || game.exchanges().await).await;
        redis.stop();
        redis
    };
    let (response, mut redis) = tokio::join!(waiting, killed);
    assert_eq!(response.status, 202, "{response:?}");
    redis.restart().await;
    let location = response.header("location").to_owned();
    eventually_eq(TIMEOUT, json!("succeeded"), async || {
        game.get(&location).await.body["status"].clone()
    })
    .await;
}

#[tokio::test]
async fn short_postgres_outage_fails_no_sign_in() {
    let mut postgres = PostgresServer::start().await;
    let fleet = FleetSettings::new(&postgres.url(), &shared_redis_url().await)
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix())
        .start(1, 1)
        .await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    assert_eq!(game.login("sim-alice").await.status, 200);
    postgres.stop();
    let code = game.mint_code("bob").await;
    let before = game.exchanges().await;
    let response = game.login_preferring(&code, "wait=1").await;
    assert_eq!(response.status, 202, "{response:?}");
    postgres.restart().await;
    let job = game.job(response.header("location")).await;
    assert_eq!(
        (&job["status"], &job["attempts"]),
        (&json!("succeeded"), &json!(1)),
        "{job}"
    );
    assert_eq!(
        game.exchanges().await,
        before + 1,
        "the code was spent once"
    );
}

#[tokio::test]
async fn sign_out_does_not_wait_for_a_blocked_database() {
    let database = TestDatabase::postgres().await;
    let fleet = FleetSettings::new(database.url(), &shared_redis_url().await)
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix())
        .start(1, 1)
        .await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    let token = game.login("sim-alice").await.body["token"].clone();
    let mut lock = PgConnection::connect(database.url()).await.unwrap();
    for statement in ["BEGIN", "LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE"] {
        sqlx::raw_sql(statement).execute(&mut lock).await.unwrap();
    }
    let request = game.client.post(game.url("/api/wx/logout"));
    let started = Instant::now();
    let response = send(request.bearer_auth(token.as_str().unwrap())).await;
    assert_eq!(response.status, 204, "{response:?}");
    // The audit log gives up after two seconds.
    let limit = Duration::from_secs(1);
    assert!(started.elapsed() < limit, "{:?}", started.elapsed());
}

#[tokio::test]
async fn processes_wait_for_stores_missing_at_start() {
    let mut redis = RedisServer::reserve();
    let mut postgres = PostgresServer::reserve();
    let settings = FleetSettings::new(&postgres.url(), &redis.url());
    let simulator = settings.simulator().start().await;
    let api = settings.command("api").start_alive().await;
    let workers = settings.command("workers").start_alive().await;
    let game = Game::of(&api, &simulator);
    assert_eq!(
        (
            ready(&game, &api.ops).await,
            ready(&game, &workers.ops).await
        ),
        (503, 503)
    );
    redis.launch().await;
    postgres.launch().await;
    eventually_eq(TIMEOUT, (200, 200), async || {
        (
            ready(&game, &api.ops).await,
            ready(&game, &workers.ops).await,
        )
    })
    .await;
    assert_eq!(game.login("sim-alice").await.status, 200);
}
