//! Processes and stores start in any order: what comes first waits for what it needs.

use std::time::{Duration, Instant};

use avalon_test_support::{Avalon, FleetSettings, PostgresServer, RedisServer, eventually};
use avalon_tests::Game;
use fastrand::Rng;

/// Time from one start to the next.
const PAUSE: Duration = Duration::from_millis(1500);
/// Time in which the service works once everything is started.
const LIMIT: Duration = Duration::from_secs(60);
/// Orders that are drawn.
const ORDERS: u64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Redis,
    Postgres,
    Wechat,
    Api,
    Workers,
}

/// Starts the parts in this order; returns how long a sign-in took from the start of the last one.
async fn start(order: [Part; 5]) -> Duration {
    let (mut redis, mut postgres) = (RedisServer::reserve(), PostgresServer::reserve());
    let settings = FleetSettings::new(&postgres.url(), &redis.url())
        .with_payments()
        .allow_leftovers();
    let mut processes: Vec<(Part, Avalon)> = Vec::new();
    for part in order {
        let command = match part {
            Part::Redis => {
                redis.launch().await;
                None
            }
            Part::Postgres => {
                postgres.launch().await;
                None
            }
            Part::Wechat => Some(settings.simulator()),
            Part::Api => Some(settings.command("api")),
            Part::Workers => Some(settings.command("workers")),
        };
        processes.extend(command.map(|command| (part, command.spawn())));
        tokio::time::sleep(PAUSE).await;
        for (part, process) in &mut processes {
            assert!(process.is_running(), "{order:?}: {part:?} has ended");
        }
    }
    let started = Instant::now();
    let of = |part| processes.iter().find(|(it, _)| *it == part).map(|it| &it.1);
    let (api, wechat) = (of(Part::Api).unwrap(), of(Part::Wechat).unwrap());
    let game = Game::of(api, wechat);
    eventually(LIMIT, async || {
        let request = game.client.post(game.url("/api/wx/login"));
        let code = serde_json::json!({"code": "sim-alice"});
        match request.json(&code).send().await {
            Ok(response) if response.status() == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_works_whatever_starts_first() {
    use Part::{Api, Postgres, Redis, Wechat, Workers};
    let mut orders = vec![
        [Workers, Api, Wechat, Postgres, Redis],
        [Api, Redis, Workers, Postgres, Wechat],
    ];
    for seed in 0..ORDERS {
        let mut order = [Redis, Postgres, Wechat, Api, Workers];
        Rng::with_seed(seed).shuffle(&mut order);
        orders.push(order);
    }
    for order in orders {
        let took = Box::pin(start(order)).await;
        println!("{order:?}: a sign-in {took:.1?} after the last start");
    }
}
