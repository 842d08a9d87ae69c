//! The push endpoint waits neither for WeChat nor for workers nor for the queue: it answers in time while each is down,
//! and what it has acknowledged is granted afterwards.
//!
//! `AVALON_TEST_DELIVERIES` sets the number of deliveries per outage. Only WeChat's limit is asserted, since the
//! quantiles depend on the load of the machine; they are printed.

use std::time::{Duration, Instant};

use avalon_test_support::{Fleet, RedisServer, TestDatabase, eventually_eq};
use avalon_tests::wechat_push::push;
use avalon_tests::{client, send};
use futures_util::future::join_all;
use reqwest::Client;
use sqlx::PgPool;

use super::{GRANTS, OWNED, PAID, PENDING_PUSHES, Sold, delivery, number, open, sell, size};

const TIMEOUT: Duration = Duration::from_secs(120);
/// WeChat gives up after this.
const WECHAT_TIMEOUT: Duration = Duration::from_secs(3);
/// Deliveries per second, whether or not earlier ones were answered.
const RATE: u32 = 50;

/// Times from when each delivery was due to its answer, in ascending order.
struct Latencies(Vec<Duration>);

impl Latencies {
    /// Pushes each delivery at its time. Every answer must be a success.
    async fn of(client: &Client, api: &str, sold: &[Sold]) -> Self {
        let started = Instant::now();
        let pushes = (0u32..).zip(sold).map(|(index, sold)| {
            let due = started + index * Duration::from_secs(1) / RATE;
            async move {
                tokio::time::sleep_until(due.into()).await;
                let response = send(push(client, api, &delivery(sold))).await;
                assert_eq!(response.body["ErrCode"], 0, "{response:?}");
                due.elapsed()
            }
        });
        let mut latencies = join_all(pushes).await;
        latencies.sort();
        Self(latencies)
    }

    fn quantile(&self, per_mille: usize) -> Duration {
        let rank = (self.0.len() * per_mille).div_ceil(1000).max(1);
        self.0[rank - 1]
    }
}

#[derive(Clone, Copy, Debug)]
enum Outage {
    None,
    WeChat,
    Workers,
    Redis,
}

impl Outage {
    const ALL: [Self; 4] = [Self::None, Self::WeChat, Self::Workers, Self::Redis];

    fn begin(self, fleet: &mut Fleet, redis: &mut RedisServer) {
        match self {
            Self::None => {}
            Self::WeChat => fleet.simulator.kill9(),
            Self::Workers => fleet.workers[0].kill9(),
            Self::Redis => redis.stop(),
        }
    }

    async fn end(self, fleet: &mut Fleet, redis: &mut RedisServer) {
        match self {
            Self::None => {}
            Self::WeChat => fleet.simulator.restart().await,
            Self::Workers => fleet.workers[0].restart().await,
            Self::Redis => redis.restart().await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_are_answered_in_time_whatever_else_is_down() {
    let deliveries = size("AVALON_TEST_DELIVERIES", 150);
    let database = TestDatabase::postgres().await;
    let mut redis = RedisServer::start().await;
    let mut fleet = open(&database, &redis, 1, 1).await;
    let sold = sell(&fleet, Outage::ALL.len() * deliveries).await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    let (client, api) = (client(), fleet.apis[0].http.clone());
    let mut acknowledged = 0;
    for (outage, sold) in Outage::ALL.into_iter().zip(sold.chunks(deliveries)) {
        outage.begin(&mut fleet, &mut redis);
        let latencies = Latencies::of(&client, &api, sold).await;
        acknowledged += i64::try_from(sold.len()).unwrap();
        let stored = number(&pool, "SELECT count(*) FROM pushes").await;
        assert_eq!(stored, acknowledged, "{outage:?}");
        outage.end(&mut fleet, &mut redis).await;
        eprintln!(
            "down: {outage:?}, {deliveries} deliveries at {RATE}/s: p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}, max {:.1?}",
            latencies.quantile(500),
            latencies.quantile(990),
            latencies.quantile(999),
            latencies.quantile(1000),
        );
        assert!(latencies.quantile(1000) < WECHAT_TIMEOUT, "{outage:?}");
    }
    eventually_eq(TIMEOUT, acknowledged, async || number(&pool, PAID).await).await;
    eventually_eq(TIMEOUT, 0, async || number(&pool, PENDING_PUSHES).await).await;
    assert_eq!(number(&pool, OWNED).await, acknowledged);
    assert_eq!(number(&pool, GRANTS).await, acknowledged);
}
