//! `bench events`: many events through the whole service while workers are repeatedly killed. It measures
//! the throughput; it is an error if an event is lost or duplicated, or a process exceeds its memory limit.
//! The same run then compares the workers' writer with one INSERT per batch (`compare`).

mod compare;
mod insert;
mod load;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use avalon_test_support::{Avalon, Fleet, FleetSettings};
use clap::Args;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use crate::Outcome;
use crate::report::{Report, count};
use crate::stores::{Engine, Stores};
use load::Load;
pub(crate) use load::body;

/// Limit of resident memory per process, KiB.
const MAX_MEMORY_KIB: u64 = 150 * 1024;
/// Timeout for all events to be stored.
const TIMEOUT: Duration = Duration::from_secs(600);

/// The load.
#[derive(Args)]
pub(crate) struct EventsArguments {
    /// Total number of events.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Events per request.
    #[arg(long, default_value_t = 50)]
    batch: usize,
    /// Seconds between kills of a worker; 0 kills none.
    #[arg(long, default_value_t = 3)]
    kill_every: u64,
    /// Worker processes.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Events of the comparison with one INSERT per batch; 0 skips it.
    #[arg(long, default_value_t = 200_000)]
    compare: usize,
}

/// Runs the benchmark.
pub(crate) async fn run(arguments: &EventsArguments, report: &mut Report) -> Outcome<()> {
    if arguments.batch == 0 || arguments.batch > 500 || arguments.workers == 0 {
        return Err("batch must be 1 to 500 and workers at least 1".into());
    }
    if arguments.events > 0 {
        whole_service(arguments, report).await?;
    }
    if arguments.compare > 0 {
        compare::run(arguments.compare, arguments.batch, report).await?;
    }
    Ok(())
}

async fn whole_service(arguments: &EventsArguments, report: &mut Report) -> Outcome<()> {
    let stores = Stores::start(Engine::Postgres).await;
    let mut fleet = FleetSettings::new(stores.database.url(), &stores.redis.url())
        .allow_leftovers()
        // After that, other workers reclaim the jobs of a killed one.
        .env("AVALON_QUEUE__LEASE_TIMEOUT", "5s")
        .env("AVALON_LOG__LEVEL", "warn")
        .start(1, arguments.workers)
        .await;
    let load = Load::prepare(&fleet, arguments.events, arguments.batch).await?;
    let signed_in = load.players();
    let sent = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let sending = {
        let sent = Arc::clone(&sent);
        tokio::spawn(async move {
            let outcome = load.send().await;
            sent.store(true, Ordering::Relaxed);
            outcome.map(|repeats| (repeats, start.elapsed()))
        })
    };
    // The sign-ins are events too.
    let expected = arguments.events + signed_in;
    let mut database = PgConnection::connect(stores.database.url()).await?;
    let mut memory = Memory::default();
    let (mut kills, mut victim, mut next_kill) = (0, 0, Instant::now());
    let deadline = start + TIMEOUT;
    loop {
        memory.sample(&fleet)?;
        let kill_every = Duration::from_secs(arguments.kill_every);
        if !kill_every.is_zero() && next_kill.elapsed() >= kill_every {
            let workers = &mut fleet.workers[victim % arguments.workers];
            workers.kill9();
            workers.restart().await;
            (kills, victim, next_kill) = (kills + 1, victim + 1, Instant::now());
        }
        if sent.load(Ordering::Relaxed) && stored(&mut database).await? >= expected {
            break;
        }
        if Instant::now() > deadline {
            let stored = stored(&mut database).await?;
            return Err(format!("{stored} of {expected} events in {TIMEOUT:?}").into());
        }
        sleep(Duration::from_millis(200)).await;
    }
    let all = start.elapsed();
    let (repeats, accepting) = sending.await??;
    // Duplicates would arrive late.
    sleep(Duration::from_secs(8)).await;
    memory.sample(&fleet)?;
    let stored = stored(&mut database).await?;
    let distinct: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT DISTINCT user_id, event_id FROM analytics_events) e",
    )
    .fetch_one(&mut database)
    .await?;
    report.add(
        format!(
            "events, {} workers, killed every {} s",
            arguments.workers, arguments.kill_every
        ),
        vec![
            ("events", count(arguments.events), 0),
            ("kills", count(kills), 0),
            (
                "accepted/s",
                count(arguments.events) / accepting.as_secs_f64(),
                0,
            ),
            ("stored/s", count(arguments.events) / all.as_secs_f64(), 0),
            ("repeats", count(repeats), 0),
            ("api MiB", memory.api_mib(), 0),
            ("worker MiB", memory.workers_mib(), 0),
        ],
    );
    if stored != expected || usize::try_from(distinct)? != expected {
        return Err(format!("{stored} rows, {distinct} events, not {expected}").into());
    }
    memory.check()
}

async fn stored(database: &mut PgConnection) -> Outcome<usize> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM analytics_events")
        .fetch_one(database)
        .await?;
    Ok(usize::try_from(count)?)
}

/// Peak resident memory by role, KiB.
#[derive(Default)]
struct Memory {
    api: u64,
    workers: u64,
}

impl Memory {
    fn sample(&mut self, fleet: &Fleet) -> Outcome<()> {
        for api in &fleet.apis {
            self.api = self.api.max(peak_of(api)?);
        }
        for workers in &fleet.workers {
            self.workers = self.workers.max(peak_of(workers)?);
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn api_mib(&self) -> f64 {
        self.api as f64 / 1024.0
    }

    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn workers_mib(&self) -> f64 {
        self.workers as f64 / 1024.0
    }

    fn check(&self) -> Outcome<()> {
        match self.api.max(self.workers) {
            peak if peak > MAX_MEMORY_KIB => Err(format!("a process had {peak} KiB").into()),
            _ => Ok(()),
        }
    }
}

/// Reads the kernel's high-water mark, so that no peak between samples is missed.
fn peak_of(process: &Avalon) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let line = line.ok_or("VmHWM is missing in /proc/PID/status")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
