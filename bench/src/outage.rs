//! `bench outage`: one event sink is down for a chosen time, an hour for example, while players report
//! events. It checks that no other queue waits meanwhile, and measures the backlog of the sink and the time
//! that it takes to catch up. It runs in real time.

use std::time::Duration;

use avalon_test_support::{Avalon, Fleet, FleetSettings};
use avalon_tests::event_sinks::SinkDouble;
use clap::Args;
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep, sleep_until};

use crate::Outcome;
use crate::events::body;
use crate::latencies::Latencies;
use crate::report::{Report, count};
use crate::stores::{Engine, Stores};

/// Timeout for all events to arrive after the outage.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(900);
/// Limit of a job's wait in the unaffected queues, seconds.
const MAX_WAIT: f64 = 2.0;
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);

/// The outage and the load.
#[derive(Args)]
pub(crate) struct OutageArguments {
    /// Duration of the ClickHouse outage, minutes.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Requests per second, sent on schedule regardless of responses.
    #[arg(long, default_value_t = 10)]
    rate: u32,
    /// Events per request.
    #[arg(long, default_value_t = 20)]
    batch: usize,
}

/// Runs the benchmark.
pub(crate) async fn run(arguments: &OutageArguments, report: &mut Report) -> Outcome<()> {
    if arguments.batch == 0 || arguments.batch > 500 || arguments.rate == 0 {
        return Err("rate must be at least 1 and batch 1 to 500".into());
    }
    let stores = Stores::start(Engine::Postgres).await;
    let clickhouse = SinkDouble::clickhouse("game.events", "writer", "secret");
    let collector = SinkDouble::collector("project-1");
    collector.start().await;
    let fleet = FleetSettings::new(stores.database.url(), &stores.redis.url())
        .allow_leftovers()
        .env("AVALON_LOG__LEVEL", "error")
        .env("AVALON_ANALYTICS__CLICKHOUSE_URL", &clickhouse.url)
        .env("AVALON_ANALYTICS__CLICKHOUSE_TABLE", "game.events")
        .env("AVALON_ANALYTICS__CLICKHOUSE_USER", "writer")
        .env("AVALON_ANALYTICS__CLICKHOUSE_PASSWORD", "secret")
        .env("AVALON_ANALYTICS__COLLECTOR_URL", &collector.url)
        .env("AVALON_ANALYTICS__COLLECTOR_APP_ID", "project-1")
        .start(1, 1)
        .await;
    let mut seen = Seen::default();
    let outage = Duration::from_secs_f64(arguments.minutes * 60.0);
    load(&fleet, arguments, outage, &mut seen).await?;
    let backlog = gauge(&fleet.workers[0], &depth("sink-clickhouse")).await?;
    let redis = gauge(&fleet.workers[0], "avalon_redis_used_memory_bytes").await?;

    let back = Instant::now();
    clickhouse.start().await;
    let mut database = PgConnection::connect(stores.database.url()).await?;
    // The sign-ins are events too.
    let wanted = seen.events + seen.sign_ins;
    let everywhere = loop {
        let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM analytics_events")
            .fetch_one(&mut database)
            .await?;
        let here = [
            usize::try_from(stored)?,
            collector.events(),
            clickhouse.events(),
        ];
        if here == [wanted; 3] {
            break back.elapsed();
        }
        if back.elapsed() > CATCH_UP_TIMEOUT {
            let all = "database, collector, ClickHouse";
            return Err(format!("{here:?} of {wanted} events arrived ({all})").into());
        }
        sleep(Duration::from_millis(100)).await;
    };
    report.add(
        format!("ClickHouse down for {} min", arguments.minutes),
        vec![
            ("events", count(seen.events), 0),
            ("p50 ms", seen.latencies.percentile_ms(50), 2),
            ("p99 ms", seen.latencies.percentile_ms(99), 2),
            ("others s", seen.longest_wait, 2),
            ("backlog", backlog, 0),
            ("redis MiB", redis / 1_048_576.0, 0),
            ("caught up s", everywhere.as_secs_f64(), 1),
        ],
    );
    match seen.longest_wait {
        wait if wait > MAX_WAIT => Err(format!("a job of another queue waited {wait} s").into()),
        _ => Ok(()),
    }
}

/// Client-side results and queue waits.
#[derive(Default)]
struct Seen {
    events: usize,
    sign_ins: usize,
    latencies: Latencies,
    /// Maximum age of a ready job in the other queues over all samples, seconds.
    longest_wait: f64,
}

/// Sends reports on schedule for the duration of the outage; a rejected report is an error.
async fn load(
    fleet: &Fleet,
    arguments: &OutageArguments,
    outage: Duration,
    seen: &mut Seen,
) -> Outcome<()> {
    let url = format!("{}/api/wx/report", fleet.apis[0].http);
    let every = Duration::from_secs(1) / arguments.rate;
    let start = Instant::now();
    let (mut token, mut last_sample) = (sign_in(fleet, seen).await?, start);
    for n in 0_u32.. {
        sleep_until(start + every * n).await;
        if start.elapsed() >= outage {
            break;
        }
        let first = seen.events;
        let body = body(first..first + arguments.batch);
        let response = loop {
            let sent = Instant::now();
            let request = fleet.client().post(&url).bearer_auth(&token);
            let request = request.header("content-type", "application/json");
            let response = request.body(body.clone()).send().await?;
            if response.status() == StatusCode::UNAUTHORIZED {
                // The token has expired.
                token = sign_in(fleet, seen).await?;
                continue;
            }
            seen.latencies.add(sent.elapsed());
            break response;
        };
        if response.status() != StatusCode::OK {
            return Err(format!("{}: {}", response.status(), response.text().await?).into());
        }
        seen.events += arguments.batch;
        if last_sample.elapsed() >= SAMPLE_INTERVAL {
            last_sample = Instant::now();
            for queue in ["login", "event", "event-realtime", "sink-http"] {
                let oldest = format!("avalon_queue_oldest_seconds{{queue=\"{queue}\"}}");
                let oldest = gauge(&fleet.workers[0], &oldest).await?;
                seen.longest_wait = seen.longest_wait.max(oldest);
            }
        }
    }
    Ok(())
}

async fn sign_in(fleet: &Fleet, seen: &mut Seen) -> Outcome<String> {
    seen.sign_ins += 1;
    let response: Value = fleet.login("sim-reporter").await?.json().await?;
    let token = response["token"].as_str();
    Ok(token
        .ok_or_else(|| format!("no token: {response}"))?
        .to_owned())
}

fn depth(queue: &str) -> String {
    format!("avalon_queue_depth{{queue=\"{queue}\",state=\"ready\"}}")
}

/// Reads a series of a process, given by name and labels.
async fn gauge(process: &Avalon, series: &str) -> Outcome<f64> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let page = client.get(format!("{}/metrics", process.ops)).send();
    let page = page.await?.text().await?;
    let line = page.lines().find(|line| line.starts_with(series));
    let value = line.and_then(|line| line.rsplit(' ').next());
    let value = value.ok_or_else(|| format!("{series} is not exposed"))?;
    Ok(value.parse()?)
}
