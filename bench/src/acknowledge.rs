//! `bench acknowledge`: how long WeChat waits for the response to a callback, in a healthy system and
//! during outages; measured by the simulator, in whole milliseconds. It is an error if an acknowledged
//! payment is not granted after the outage.

use std::collections::HashSet;
use std::time::Duration;

use avalon_test_support::FleetSettings;
use clap::Args;
use serde_json::{Value, json};
use tokio::time::{Instant, interval, sleep};

use crate::Outcome;
use crate::latencies::Latencies;
use crate::report::{Report, count};
use crate::shop::Shop;
use crate::stores::{Engine, Stores};

/// Interval between payments.
const PACE: Duration = Duration::from_millis(20);
/// Timeout for the delivery of all callbacks, and for all grants.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The load.
#[derive(Args)]
pub(crate) struct AcknowledgeArguments {
    /// Callbacks per state.
    #[arg(long, default_value_t = 200)]
    callbacks: usize,
    /// The database.
    #[arg(long, value_enum, default_value_t = Engine::Postgres)]
    database: Engine,
}

/// What is down.
#[derive(Clone, Copy)]
enum State {
    Well,
    WechatDown,
    WorkersStopped,
    RedisStopped,
}

impl State {
    const ALL: [Self; 4] = [
        Self::Well,
        Self::WechatDown,
        Self::WorkersStopped,
        Self::RedisStopped,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Well => "all well",
            Self::WechatDown => "WeChat's APIs hang",
            Self::WorkersStopped => "workers stopped",
            Self::RedisStopped => "Redis stopped",
        }
    }
}

/// Runs the benchmark.
pub(crate) async fn run(arguments: &AcknowledgeArguments, report: &mut Report) -> Outcome<()> {
    let mut stores = Stores::start(arguments.database).await;
    let mut fleet = FleetSettings::new(stores.database.url(), &stores.redis.url())
        .allow_leftovers()
        .with_payments()
        // Late enough that every grant is caused by a callback, not by a query.
        .env("AVALON_PAY__RECONCILE_AFTER", "20m")
        .start(1, 1)
        .await;
    let shop = Shop::open(&fleet).await?;
    // Warms up connections and prepared statements.
    let warm_up = shop.order("warm-up", 20).await?;
    let mut granted = warm_up.len();
    shop.pay_all(warm_up).await?;
    shop.wait_granted(granted, TIMEOUT).await?;

    let mut failed = 0;
    for state in State::ALL {
        let orders = shop.order(state.name(), arguments.callbacks).await?;
        match state {
            State::Well => {}
            State::WechatDown => shop.set("faults", json!({"outage": "hang"})).await?,
            State::WorkersStopped => fleet.workers.iter_mut().for_each(|it| it.kill9()),
            State::RedisStopped => stores.redis.stop(),
        }
        let mut ticks = interval(PACE);
        for order in &orders {
            ticks.tick().await;
            shop.pay(order).await?;
        }
        let (latencies, errors) = delivered(&shop, &orders).await?;
        let recovery = Instant::now();
        match state {
            State::Well => {}
            State::WechatDown => shop.clear_faults().await?,
            State::WorkersStopped => {
                for workers in &mut fleet.workers {
                    workers.restart().await;
                }
            }
            State::RedisStopped => stores.redis.restart().await,
        }
        granted += orders.len();
        shop.wait_granted(granted, TIMEOUT).await?;
        let figures = vec![
            ("p50 ms", latencies.percentile_ms(50), 0),
            ("p99 ms", latencies.percentile_ms(99), 0),
            ("max ms", latencies.percentile_ms(100), 0),
            ("callbacks", count(latencies.count()), 0),
            ("errors", count(errors), 0),
            ("granted", count(orders.len()), 0),
            ("after s", recovery.elapsed().as_secs_f64(), 1),
        ];
        report.add(state.name(), figures);
        failed += errors;
    }
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} callbacks were not acknowledged at once").into()),
    }
}

/// Waits until the callbacks of these orders are delivered. Returns the latencies of the acknowledged
/// attempts and the number of failed ones.
async fn delivered(shop: &Shop, orders: &[String]) -> Outcome<(Latencies, usize)> {
    let orders: HashSet<&str> = orders.iter().map(String::as_str).collect();
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let mut callbacks = shop.callbacks().await?;
        callbacks.retain(|it| {
            it["outTradeNo"]
                .as_str()
                .is_some_and(|no| orders.contains(no))
        });
        let open = callbacks.iter().filter(|it| it["status"] != "delivered");
        let open = open.count();
        if open == 0 && callbacks.len() == orders.len() {
            return measured(&callbacks);
        }
        if Instant::now() > deadline {
            return Err(format!("{open} callbacks were never acknowledged").into());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

fn measured(callbacks: &[Value]) -> Outcome<(Latencies, usize)> {
    let (mut latencies, mut errors) = (Latencies::default(), 0);
    for attempt in callbacks.iter().filter_map(|it| it["attempts"].as_array()) {
        for attempt in attempt {
            let took = attempt["durationMs"].as_u64().ok_or("no duration")?;
            match attempt["status"] == 204 {
                true => latencies.add(Duration::from_millis(took)),
                false => errors += 1,
            }
        }
    }
    Ok((latencies, errors))
}
