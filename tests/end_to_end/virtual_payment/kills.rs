//! Deliveries during kills of workers: each grants once, however often and in whatever order it comes.
//!
//! `AVALON_TEST_ORDERS` sets the number of orders, each of which is delivered three times.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use avalon_test_support::{Avalon, RedisServer, TestDatabase, eventually_eq};
use avalon_tests::wechat_push::push;
use avalon_tests::{client, send};
use futures_util::{StreamExt, stream};
use reqwest::Client;
use sqlx::PgPool;

use super::{GRANTS, OWNED, PAID, PENDING_PUSHES, Sold, delivery, number, open, sell, size};

const TIMEOUT: Duration = Duration::from_secs(600);
/// Time from the restart of a worker to the kill of the other one.
const BETWEEN_KILLS: Duration = Duration::from_secs(2);
/// Kills at least, however fast the deliveries are.
const MIN_KILLS: u32 = 4;
const CONCURRENT_PUSHES: usize = 16;

/// Pushes deliveries; every answer must be a success.
async fn push_all(client: &Client, apis: &[String], deliveries: &[&Sold]) {
    let pushes = deliveries.iter().enumerate().map(|(index, sold)| {
        let request = push(client, &apis[index % apis.len()], &delivery(sold));
        async move {
            let response = send(request).await;
            assert_eq!(response.body["ErrCode"], 0, "{response:?}");
        }
    });
    let all = stream::iter(pushes).buffer_unordered(CONCURRENT_PUSHES);
    all.collect::<Vec<_>>().await;
}

/// Kills one worker after the other until `finished` is set; returns the number of kills.
async fn kill_in_turn(workers: &mut [Avalon], finished: &AtomicBool) -> u32 {
    let mut kills = 0;
    while kills < MIN_KILLS || !finished.load(Ordering::Relaxed) {
        for worker in &mut *workers {
            tokio::time::sleep(BETWEEN_KILLS).await;
            worker.kill9();
            worker.restart().await;
            kills += 1;
        }
    }
    kills
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shuffled_repeated_deliveries_grant_once_despite_kills() {
    let orders = size("AVALON_TEST_ORDERS", 400);
    let (database, redis) = (TestDatabase::postgres().await, RedisServer::start().await);
    let mut fleet = open(&database, &redis, 2, 2).await;
    // A sweep that has lost five workers is dead; there is always a next one.
    fleet.allow_dead("maintenance");
    let sold = sell(&fleet, orders).await;
    let mut deliveries: Vec<&Sold> = sold.iter().chain(&sold).chain(&sold).collect();
    fastrand::shuffle(&mut deliveries);
    let apis: Vec<String> = fleet.apis.iter().map(|api| api.http.clone()).collect();
    let pool = PgPool::connect(database.url()).await.unwrap();
    let (client, expected) = (client(), i64::try_from(orders).unwrap());

    let (started, finished) = (Instant::now(), AtomicBool::new(false));
    let delivering = async {
        push_all(&client, &apis, &deliveries).await;
        let acknowledged = started.elapsed();
        eventually_eq(TIMEOUT, expected, async || number(&pool, PAID).await).await;
        finished.store(true, Ordering::Relaxed);
        acknowledged
    };
    let killing = kill_in_turn(&mut fleet.workers, &finished);
    let (acknowledged, kills) = tokio::join!(delivering, killing);
    eventually_eq(TIMEOUT, 0, async || number(&pool, PENDING_PUSHES).await).await;
    eprintln!(
        "{} deliveries of {orders} orders acknowledged in {acknowledged:.1?}, granted in {:.1?}, {kills} kills",
        deliveries.len(),
        started.elapsed()
    );
    assert_eq!(number(&pool, PAID).await, expected);
    assert_eq!(number(&pool, OWNED).await, expected);
    assert_eq!(number(&pool, GRANTS).await, expected);
}
