//! `bench rolling`: every process of a service is replaced, one after the other, while requests arrive at a
//! fixed rate through a load balancer that follows `/readyz`. It counts what players would notice: failed
//! requests, and accepted jobs that did not succeed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use avalon_test_support::{Avalon, Balancer, Fleet, FleetSettings};
use clap::Args;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Outcome;
use crate::latencies::Latencies;
use crate::report::{Report, count};
use crate::stores::{Engine, Stores};

/// Timeout for accepted jobs to end after the load.
const JOB_TIMEOUT: Duration = Duration::from_secs(60);

/// The load and the service.
#[derive(Args)]
pub(crate) struct RollingArguments {
    /// Requests per second, sent on schedule regardless of responses: three sign-ins, then an order.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Seconds of load before the first replacement, between two, and after the last.
    #[arg(long, default_value_t = 3)]
    pause: u64,
    /// API processes.
    #[arg(long, default_value_t = 2)]
    apis: usize,
    /// Worker processes.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// How long a stopping process still accepts requests after its readiness fails, in milliseconds.
    #[arg(long, default_value_t = 5000)]
    drain_ms: u64,
    /// Interval of the balancer's readiness checks, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    check_ms: u64,
    /// The database.
    #[arg(long, value_enum, default_value_t = Engine::Postgres)]
    database: Engine,
}

/// Results of all requests.
#[derive(Default)]
struct Seen {
    latencies: Latencies,
    /// Ids of jobs whose request got a 202; they are queried at the end.
    later: Vec<String>,
    orders: usize,
    failures: Vec<String>,
}

/// Runs the benchmark.
pub(crate) async fn run(arguments: &RollingArguments, report: &mut Report) -> Outcome<()> {
    if arguments.apis < 2 || arguments.workers == 0 || arguments.rate == 0 {
        return Err("rate and workers must be at least 1, apis at least 2".into());
    }
    let stores = Stores::start(arguments.database).await;
    let settings = FleetSettings::new(stores.database.url(), &stores.redis.url())
        .allow_leftovers()
        .with_payments()
        .env(
            "AVALON_HTTP__DRAIN_DELAY",
            format!("{}ms", arguments.drain_ms),
        );
    let mut fleet = settings.start(arguments.apis, arguments.workers).await;
    let token = prepare(&fleet).await?;
    let balancer = Balancer::over(&fleet.apis, Duration::from_millis(arguments.check_ms));
    let (stop, stopped) = watch::channel(false);
    let every = Duration::from_secs(1) / arguments.rate;
    let load = tokio::spawn(load(balancer, token.clone(), every, stopped));

    let pause = Duration::from_secs(arguments.pause);
    sleep(pause).await;
    let (mut processes, mut longest) = (0, Duration::ZERO);
    for process in fleet.apis.iter_mut().chain(&mut fleet.workers) {
        longest = longest.max(replace(process).await?);
        processes += 1;
        sleep(pause).await;
    }
    stop.send_replace(true);
    let mut seen = load.await?;
    let late = seen.later.len();
    settle(&fleet, &token, &mut seen).await?;

    let ms = |percent| seen.latencies.percentile_ms(percent);
    report.add(
        format!("{} requests a second", arguments.rate),
        vec![
            ("answers", count(seen.latencies.count()), 0),
            ("failed", count(seen.failures.len()), 0),
            ("202", count(late), 0),
            ("orders", count(seen.orders), 0),
            ("p50 ms", ms(50), 2),
            ("p99 ms", ms(99), 2),
            ("replaced", count(processes), 0),
            ("stop s", longest.as_secs_f64(), 1),
        ],
    );
    match seen.failures.first() {
        Some(first) => Err(format!("there were failures; the first: {first}").into()),
        None => Ok(()),
    }
}

/// Creates a product and signs a player in; returns the token.
async fn prepare(fleet: &Fleet) -> Outcome<String> {
    let product = json!({"name": "Gems", "price": 100});
    let put = fleet
        .client()
        .put(format!("{}/admin/products/gems", fleet.apis[0].ops))
        .bearer_auth(FleetSettings::ADMIN_TOKEN)
        .json(&product);
    put.send().await?.error_for_status()?;
    let response: Value = fleet.login("sim-buyer").await?.json().await?;
    Ok(response["token"].as_str().ok_or("no token")?.to_owned())
}

/// Stops a process gracefully and starts it again; returns how long it took to stop.
async fn replace(process: &mut Avalon) -> Outcome<Duration> {
    let stopping = Instant::now();
    process.terminate();
    let status = process.wait_exit().await;
    let took = stopping.elapsed();
    if !status.success() {
        return Err(format!("a process ended with {status}").into());
    }
    process.restart().await;
    Ok(took)
}

async fn load(
    balancer: Balancer,
    token: String,
    every: Duration,
    stopped: watch::Receiver<bool>,
) -> Seen {
    let client = Client::builder().no_proxy().build().unwrap_or_default();
    let (client, token) = (Arc::new(client), Arc::new(token));
    let start = Instant::now();
    let mut seen = Seen::default();
    let mut requests = JoinSet::new();
    for n in 0_u32.. {
        if *stopped.borrow() {
            break;
        }
        sleep_until(start + every * n).await;
        let Some(api) = balancer.next() else {
            seen.failures.push(format!("{n}: no API is ready"));
            continue;
        };
        let order = n % 4 == 3;
        let request = match order {
            true => order_request(&client, api, &token, n),
            false => client
                .post(format!("{api}/api/wx/login"))
                .json(&HashMap::from([(
                    "code",
                    format!("sim-player-{}", n % 20_000),
                )])),
        };
        requests.spawn(send(request, order));
        while let Some(ended) = requests.try_join_next() {
            seen.add(ended);
        }
    }
    while let Some(ended) = requests.join_next().await {
        seen.add(ended);
    }
    seen
}

fn order_request(client: &Client, api: &str, token: &str, n: u32) -> RequestBuilder {
    client
        .post(format!("{api}/api/wx/createOrder"))
        .bearer_auth(token)
        .header("idempotency-key", format!("k{n}"))
        .json(&json!({"productId": "gems", "quantity": 1}))
}

/// A response: its latency, and the job to query later.
struct Completed {
    took: Duration,
    order: bool,
    job: Option<String>,
}

async fn send(request: RequestBuilder, order: bool) -> Outcome<Completed> {
    let sent = Instant::now();
    let response = request.send().await.map_err(|error| format!("{error:?}"))?;
    let status = response.status();
    let text = response.text().await?;
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let job = match status {
        StatusCode::OK => None,
        StatusCode::ACCEPTED => Some(body["jobId"].as_str().unwrap_or_default().to_owned()),
        _ => return Err(format!("{status}: {text}").into()),
    };
    let took = sent.elapsed();
    Ok(Completed { took, order, job })
}

impl Seen {
    fn add(&mut self, ended: Result<Outcome<Completed>, tokio::task::JoinError>) {
        match ended {
            Ok(Ok(completed)) => {
                self.latencies.add(completed.took);
                self.orders += usize::from(completed.order);
                self.later.extend(completed.job);
            }
            Ok(Err(error)) => self.failures.push(error.to_string()),
            Err(error) => self.failures.push(error.to_string()),
        }
    }
}

/// Records accepted jobs that do not succeed, and dead letters, as failures.
async fn settle(fleet: &Fleet, token: &str, seen: &mut Seen) -> Outcome<()> {
    let deadline = Instant::now() + JOB_TIMEOUT;
    let api = &fleet.apis[0].http;
    for id in std::mem::take(&mut seen.later) {
        loop {
            let url = format!("{api}/api/jobs/{id}?wait=5");
            let request = fleet.client().get(url).bearer_auth(token);
            let response: Value = request.send().await?.json().await?;
            match response["status"].as_str() {
                Some("succeeded") => break,
                Some("queued" | "running" | "retrying") if Instant::now() < deadline => {}
                _ => {
                    seen.failures.push(format!("job {id}: {response}"));
                    break;
                }
            }
        }
    }
    let dead = format!("{}/admin/jobs?status=dead", fleet.apis[0].ops);
    let request = fleet
        .client()
        .get(dead)
        .bearer_auth(FleetSettings::ADMIN_TOKEN);
    let dead: Value = request.send().await?.json().await?;
    for job in dead["jobs"].as_array().into_iter().flatten() {
        seen.failures.push(format!("dead: {job}"));
    }
    Ok(())
}
