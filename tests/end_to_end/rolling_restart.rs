//! A rolling restart under load that also adds columns to every table, as a new version's migration does, without
//! failed requests. `avalon-bench rolling` measures the same at 200 requests per second.

use std::sync::Arc;
use std::time::Duration;

use avalon_test_support::{
    Avalon, Balancer, Fleet, FleetSettings, TestDatabase, add_columns, eventually_eq,
    shared_redis_url, unique_prefix,
};
use avalon_tests::{ApiResponse, Game, client};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const TIMEOUT: Duration = Duration::from_secs(40);
/// Interval between requests.
const PACE: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_restart_under_load_fails_no_request_and_no_job() {
    let database = TestDatabase::postgres().await;
    let mut fleet = FleetSettings::new(database.url(), &shared_redis_url().await)
        .with_payments()
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix())
        .env("AVALON_HTTP__DRAIN_DELAY", "1s")
        .start(2, 2)
        .await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    game.sell(&fleet.apis[0], "gems", 100).await;
    let token = game.player("buyer").await.token;

    let balancer = Arc::new(Balancer::over(&fleet.apis, Duration::from_millis(100)));
    let stop = CancellationToken::new();
    let load = tokio::spawn(load(Arc::clone(&balancer), token, stop.clone()));
    // Every statement has been prepared by now.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let tables = add_columns(database.url(), "added", 20).await;
    assert_eq!(tables.busy, Vec::<String>::new());
    assert!(tables.changed.len() > 10, "{:?}", tables.changed);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for api in &mut fleet.apis {
        replace(api).await;
        eventually_eq(TIMEOUT, true, async || balancer.all_ready()).await;
    }
    for workers in &mut fleet.workers {
        replace(workers).await;
    }
    stop.cancel();
    let completed = load.await.unwrap();
    assert!(completed > 100, "only {completed} requests");
    assert_all_done(&fleet).await;
}

/// Replaces a process by a new one at the same address, as an orchestrator does.
async fn replace(process: &mut Avalon) {
    process.terminate();
    let status = process.wait_exit().await;
    assert!(status.success(), "graceful stop: {status}");
    process.restart().await;
}

/// Sends requests until cancelled and panics if one fails. Returns their number.
async fn load(balancer: Arc<Balancer>, token: String, stop: CancellationToken) -> u32 {
    let client = client();
    let mut requests = JoinSet::new();
    let mut ticks = tokio::time::interval(PACE);
    let mut n = 0_u32;
    while !stop.is_cancelled() {
        ticks.tick().await;
        n += 1;
        let api = balancer
            .next()
            .expect("an API is ready at any time")
            .to_owned();
        let request = if n.is_multiple_of(4) {
            client
                .post(format!("{api}/api/wx/createOrder"))
                .bearer_auth(&token)
                .header("idempotency-key", format!("k{n}"))
                .json(&json!({"productId": "gems", "quantity": 1}))
        } else {
            client
                .post(format!("{api}/api/wx/login"))
                .json(&json!({"code": format!("sim-player-{}", n % 500)}))
        };
        requests.spawn(async move {
            let response = request
                .send()
                .await
                .unwrap_or_else(|error| panic!("{n} at {api}: {error:?}"));
            let response = ApiResponse::of(response).await;
            assert!(
                matches!(response.status.as_u16(), 200 | 202),
                "{n} at {api}: {response:?}"
            );
        });
        while let Some(ended) = requests.try_join_next() {
            ended.unwrap();
        }
    }
    requests.join_all().await;
    n
}

/// Waits until the queues hold nothing but scheduled checks of orders, and no dead letters.
async fn assert_all_done(fleet: &Fleet) {
    let ops = &fleet.apis[0].ops;
    let left = async || {
        let text = client().get(format!("{ops}/metrics")).send().await.unwrap();
        let text = text.text().await.unwrap();
        let jobs = text
            .lines()
            .filter(|line| line.starts_with("avalon_queue_depth") && !line.contains("scheduled"));
        jobs.filter(|line| !line.ends_with(" 0") && !line.contains("maintenance"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    eventually_eq(TIMEOUT, Vec::<String>::new(), left).await;
}
