//! Several processes that share Redis and Postgres: all are interchangeable, and any may crash.

use std::time::Duration;

use avalon_test_support::{
    Fleet, FleetSettings, TestDatabase, eventually_eq, shared_redis_url, unique_prefix,
};
use avalon_tests::{Game, send};
use futures_util::future::join_all;
use sqlx::AnyConnection;
use sqlx::Connection;

const TIMEOUT: Duration = Duration::from_secs(40);

/// Settings with the shared Redis and a private Postgres database.
async fn settings() -> (TestDatabase, FleetSettings) {
    let database = TestDatabase::postgres().await;
    let settings = FleetSettings::new(database.url(), &shared_redis_url().await)
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix());
    (database, settings)
}

async fn count(database: &TestDatabase, sql: &'static str) -> i64 {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(database.url()).await.unwrap();
    sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

/// Reads a metric of an ops listener; 0 if it is absent.
async fn gauge(game: &Game, ops: &str, name: &str) -> f64 {
    let text = game
        .client
        .get(format!("{ops}/metrics"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with(name))
        .map(str::to_owned);
    line.and_then(|line| line.rsplit(' ').next().map(|value| value.parse().unwrap()))
        .unwrap_or(0.0)
}

#[tokio::test]
async fn sign_in_works_through_every_api_and_worker() {
    let (database, settings) = settings().await;
    let fleet = settings.start(2, 2).await;
    for n in 0..20 {
        let response = fleet.login(&format!("sim-player-{n}")).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    // The same code through both at once: one exchange across all workers.
    let games = [
        Game::of(&fleet.apis[0], &fleet.simulator),
        Game::of(&fleet.apis[1], &fleet.simulator),
    ];
    let before = games[0].exchanges().await;
    let code = games[0].mint_code("twice").await;
    let responses = join_all(games.iter().map(|game| game.login(&code))).await;
    assert_eq!(responses[0].status, 200, "{:?}", responses[0]);
    assert_eq!(responses[0].body, responses[1].body);
    assert_eq!(games[0].exchanges().await, before + 1);
    // A job accepted by one API can be queried at the other.
    let job = games[0]
        .login_preferring("sim-slow-300-x", "respond-async")
        .await;
    assert_eq!(
        games[1].job(job.header("location")).await["status"],
        "succeeded"
    );
    // Each worker process ran some of the jobs.
    for workers in &fleet.workers {
        let name = "avalon_jobs_settled_total{kind=\"login\",outcome=\"succeeded\"";
        let done = gauge(&games[0], &workers.ops, name).await;
        assert!(done > 0.0, "a worker ran no job");
    }
    assert_eq!(count(&database, "SELECT count(*) FROM users").await, 22);
}

#[tokio::test]
async fn jobs_of_a_killed_worker_are_finished_once_by_another() {
    const JOBS: usize = 100;
    let (database, settings) = settings().await;
    let settings = settings
        .env("AVALON_QUEUE__LEASE_TIMEOUT", "2s")
        .env("AVALON_WORKERS__CONCURRENCY", "128")
        // Longer than it takes until all of them run.
        .env("AVALON_WECHAT__REQUEST_TIMEOUT", "14s");
    let mut fleet = settings.start(1, 1).await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    let codes = join_all((0..JOBS).map(|n| {
        let game = &game;
        async move { game.mint_code(&format!("player-{n}")).await }
    }))
    .await;
    // WeChat delays each call before it has any effect.
    game.faults(serde_json::json!({"latencyMs": 12_000})).await;
    let accepted = join_all(
        codes
            .iter()
            .map(|code| game.login_preferring(code, "respond-async")),
    )
    .await;
    let ids: Vec<&str> = accepted
        .iter()
        .map(|response| response.header("location"))
        .collect();
    let ops = fleet.apis[0].ops.clone();
    let running = "avalon_queue_depth{queue=\"login\",state=\"running\"}";
    eventually_eq(TIMEOUT, JOBS as f64, async || {
        gauge(&game, &ops, running).await
    })
    .await;

    fleet.workers[0].kill9();
    game.clear_faults().await;
    fleet.add_workers().await;
    let ended = join_all(ids.iter().map(|id| game.job(id))).await;
    for job in &ended {
        assert_eq!(
            (&job["status"], &job["attempts"]),
            (&"succeeded".into(), &2.into()),
            "{job}"
        );
    }
    assert_eq!(
        count(&database, "SELECT count(*) FROM users").await,
        JOBS as i64
    );
    let recovered = "avalon_jobs_recovered_total{queue=\"login\",reason=\"requeued\"}";
    assert_eq!(
        gauge(&game, &fleet.workers[1].ops, recovered).await,
        JOBS as f64
    );
}

#[tokio::test]
async fn stopping_worker_finishes_its_running_jobs() {
    let (_database, settings) = settings().await;
    let mut fleet = settings.start(1, 1).await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    let jobs: Vec<_> = join_all((0..10).map(|n| {
        let game = &game;
        async move {
            game.login_preferring(&format!("sim-slow-1500-p{n}"), "respond-async")
                .await
        }
    }))
    .await;
    let running = "avalon_queue_depth{queue=\"login\",state=\"running\"}";
    let ops = fleet.apis[0].ops.clone();
    eventually_eq(TIMEOUT, 10.0, async || gauge(&game, &ops, running).await).await;
    fleet.workers[0].terminate();
    let readiness = format!("{}/readyz", fleet.workers[0].ops);
    eventually_eq(TIMEOUT, 503, async || {
        send(game.client.get(&readiness)).await.status.as_u16()
    })
    .await;
    let not_ready = send(game.client.get(&readiness)).await;
    assert_eq!(
        (not_ready.status.as_u16(), &not_ready.body["status"]),
        (503, &"stopping".into())
    );
    assert!(fleet.workers[0].wait_exit().await.success());
    // Whatever the last sign-ins reported waits for the next worker.
    fleet.expect_leftover("event");
    for job in jobs {
        let job = game.get(job.header("location")).await.body;
        assert_eq!(
            (&job["status"], &job["attempts"]),
            (&"succeeded".into(), &1.into()),
            "{job}"
        );
    }
}

#[tokio::test]
async fn fleet_can_share_one_sqlite_file() {
    let database = TestDatabase::sqlite();
    let settings = FleetSettings::new(database.url(), &shared_redis_url().await)
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix());
    let fleet: Fleet = settings.start(1, 2).await;
    let responses = join_all((0..30).map(|n| {
        let fleet = &fleet;
        async move {
            fleet
                .login(&format!("sim-p{}", n % 10))
                .await
                .unwrap()
                .status()
        }
    }))
    .await;
    assert!(
        responses.iter().all(|status| *status == 200),
        "{responses:?}"
    );
    assert_eq!(count(&database, "SELECT count(*) FROM users").await, 10);
}
