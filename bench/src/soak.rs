//! `avalon-bench soak`: this service under a constant, mixed load for an hour, to see whether anything grows that
//! should not. `mix` is the load, `feed` signs its callbacks, `sample` reads the state of all processes and
//! stores, `results` has the figures, `table` and `charts` present them.

mod charts;
mod feed;
mod mix;
mod results;
mod sample;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use avalon_test_support::PostgresServer;
use clap::Args;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::time::{Instant, interval_at, sleep};

use crate::Outcome;
use crate::compare::document;
use crate::compare::keys::KeyFiles;
use crate::compare::machine::Machine;
use crate::compare::requests::{self, ORDERS_READ};
use crate::compare::seeds;
use crate::compare::shared::Shared;
use crate::compare::system::System;
use crate::compare::target::Target;
use crate::load::{Closed, Endpoint, Intervals, Limit, Open, Requests, Sent};
use feed::Feed;
use results::Results;
use sample::Sampler;

/// Time between samples, and length of the intervals of latencies.
const INTERVAL: Duration = Duration::from_secs(10);
/// Partial results are written once per this number of samples.
const SAMPLES_PER_FILE: usize = 6;
/// Connections of the closed loop.
const CONNECTIONS: usize = 64;
/// Access tokens of the senders expire after two hours.
const MAX_MINUTES: i64 = 100;
/// Load before the capacity is measured: longer than [`SETTINGS`] lets an order live, so that as many unpaid
/// orders are closed meanwhile as are created.
const WARM_UP_SECONDS: u64 = 150;
/// What differs from the comparison: players have fewer sessions, and unpaid orders are queried as by default and
/// closed earlier, so that all reach their plateau during the warm-up.
const SETTINGS: [(&str, &str); 3] = [
    ("AVALON_AUTH__DEVICE_POLICY", "multi:2"),
    ("AVALON_PAY__ORDER_TTL", "1m"),
    ("AVALON_PAY__RECONCILE_AFTER", "30s"),
];

/// What to send, and for how long.
#[derive(Args)]
pub(crate) struct SoakArguments {
    /// Minutes of the load.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=MAX_MINUTES))]
    minutes: u32,
    /// Share of the measured capacity that is sent.
    #[arg(long, default_value_t = 0.6)]
    share: f64,
    /// The binary of this service; by default the one beside this program.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Folder for soak.json, soak.md and soak.svg.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Also replaces the section between the markers of this document, and the chart beside it.
    #[arg(long)]
    document: Option<PathBuf>,
    /// Measures nothing: presents these results again.
    #[arg(long)]
    from: Option<PathBuf>,
}

/// Runs the soak.
pub(crate) async fn run(arguments: &SoakArguments) -> Outcome<()> {
    std::fs::create_dir_all(&arguments.out)?;
    let results = match &arguments.from {
        Some(path) => serde_json::from_slice(&std::fs::read(path)?)?,
        None => arguments.measure().await?,
    };
    let text = present(&results, &arguments.out)?;
    if let Some(path) = &arguments.document {
        document::SOAK.replace(path, &text)?;
        charts::draw(&results, &document::images(path, "reliability")?)?;
    }
    print!("{text}");
    Ok(())
}

/// Writes the table and the chart; returns the table.
fn present(results: &Results, folder: &Path) -> Outcome<String> {
    let text = table::markdown(results);
    std::fs::write(folder.join("soak.md"), &text)?;
    charts::draw(results, folder)?;
    Ok(text)
}

impl SoakArguments {
    async fn measure(&self) -> Outcome<Results> {
        let folder = TempDir::with_prefix("avalon-soak-")?;
        let shared = Arc::new(self.shared(folder.path()).await?);
        let mut machine = Machine::describe(&shared);
        machine
            .versions
            .retain(|version| !version.starts_with("Node"));
        let postgres = crate::compare::postgres_version(&shared).await?;
        machine.versions.push(postgres);
        let system = System::start(Target::Avalon, &shared).await?;
        seeds::insert(&system.stores.database, Target::Avalon, ORDERS_READ).await?;
        let tokens = requests::tokens(&system.endpoint, requests::SENDERS).await?;
        let feed = Feed::start(system.stores.database.url(), &shared.keys.platform);
        let feed = Arc::new(feed);
        let requests = mix::requests(&tokens, Arc::clone(&feed));
        let capacity = self.capacity(&system.endpoint, &requests).await?;
        let missing = feed.take_missing();
        let rate = whole(capacity.rate() * self.share);
        eprintln!(
            "capacity {:.0}/s ({missing} callbacks were not ready); {rate}/s for {} minutes",
            capacity.rate(),
            self.minutes
        );
        let mut results = Results {
            started: Timestamp::now().strftime("%Y-%m-%d").to_string(),
            cores: machine.cores,
            processor: machine.processor,
            versions: machine.versions,
            capacity: capacity.rate(),
            capacity_p99: capacity.percentiles().p99,
            share: self.share,
            rate,
            minutes: self.minutes,
            complete: false,
            missing_callbacks: 0,
            errors: capacity.errors().clone(),
            dead_letters: BTreeMap::new(),
            intervals: Vec::new(),
            samples: Vec::new(),
        };
        self.soak(&system, &requests, &feed, &mut results).await?;
        Ok(results)
    }

    /// The closed loop, after a warm-up.
    async fn capacity(&self, endpoint: &Endpoint, requests: &Requests) -> Outcome<Sent> {
        let seconds = |seconds| Closed {
            connections: CONNECTIONS,
            first: 0,
            limit: Limit::Time(Duration::from_secs(seconds)),
        };
        seconds(WARM_UP_SECONDS)
            .send(endpoint, requests)
            .await?
            .checked()?;
        let sent = seconds(20).send(endpoint, requests).await?.checked()?;
        // What was accepted is processed before the load begins.
        sleep(INTERVAL).await;
        Ok(sent)
    }

    /// The open loop, with samples.
    async fn soak(
        &self,
        system: &System,
        requests: &Requests,
        feed: &Feed,
        results: &mut Results,
    ) -> Outcome<()> {
        let load = Open {
            rate: results.rate,
            first: 0,
            requests: u64::from(results.rate) * u64::from(self.minutes) * 60,
        };
        let intervals = Arc::new(Mutex::new(Intervals::of(INTERVAL)));
        let mut sampler = Sampler::start(system).await?;
        let start = Instant::now();
        let sending = load.send_in_intervals(&system.endpoint, requests, &intervals);
        tokio::pin!(sending);
        let mut ticks = interval_at(start + INTERVAL, INTERVAL);
        let sent = loop {
            tokio::select! {
                sent = &mut sending => break sent?,
                _ = ticks.tick() => {
                    let at = start.elapsed().as_secs_f64();
                    match sampler.read(at).await {
                        Ok(sample) => results.samples.push(sample),
                        // The next one may succeed; the load goes on.
                        Err(error) => eprintln!("no sample at {at:.0} s: {error}"),
                    }
                    results.missing_callbacks += feed.take_missing();
                    if results.samples.len().is_multiple_of(SAMPLES_PER_FILE) {
                        let lock = intervals.lock().unwrap_or_else(PoisonError::into_inner);
                        results.intervals = lock.done().to_vec();
                        drop(lock);
                        self.write(results)?;
                    }
                }
            }
        };
        results.dead_letters = sampler.dead_letters().await?;
        let mut intervals = intervals.lock().unwrap_or_else(PoisonError::into_inner);
        intervals.finish();
        results.intervals = intervals.done().to_vec();
        results.errors.clone_from(sent.errors());
        results.complete = true;
        self.write(results)
    }

    /// Writes what there is so far, so that an aborted run is of use.
    fn write(&self, results: &Results) -> Outcome<()> {
        let path = self.out.join("soak.json");
        std::fs::write(path, serde_json::to_vec_pretty(results)?)?;
        if let Some(last) = results.intervals.last() {
            eprintln!(
                "{:.0} min: p50 {:.2} ms, p99 {:.1} ms, {} errors",
                last.end / 60.0,
                last.p50,
                last.p99,
                last.errors
            );
        }
        present(results, &self.out)?;
        Ok(())
    }

    async fn shared(&self, folder: &Path) -> Outcome<Shared> {
        // As in production; tests run without.
        let mut postgres = PostgresServer::reserve()
            .configured("fsync", "on")
            .configured("full_page_writes", "on");
        postgres.launch().await;
        Ok(Shared {
            postgres,
            keys: KeyFiles::create(folder)?,
            binary: self.binary.as_ref().map(std::path::absolute).transpose()?,
            nestjs: PathBuf::new(),
            apalis_redis: None,
            perf: None,
            fsync: "everysec".to_owned(),
            env: SETTINGS.to_vec(),
        })
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate of requests"
)]
fn whole(rate: f64) -> u32 {
    (rate as u32).max(1)
}
