//! `bench events`: many events through the whole service while workers are killed again and again.
//! That all of them arrive, once each, and that no process grows, or it is an error; and how fast.
//! Then, in the same run, the workers' way to the database beside one INSERT a batch (`compare`).

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

/// What no process may have in memory.
const MOST_MEMORY_KIB: u64 = 150 * 1024;
/// How long the rest may take when all is sent.
const LONG: Duration = Duration::from_secs(600);

/// The load.
#[derive(Args)]
pub(crate) struct EventsArguments {
    /// Events in all.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Events of one request.
    #[arg(long, default_value_t = 50)]
    batch: usize,
    /// Seconds from one kill of a worker to the next; 0: none is killed.
    #[arg(long, default_value_t = 3)]
    kill_every: u64,
    /// Processes of workers.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Events of the comparison with one INSERT a batch; 0: none is made.
    #[arg(long, default_value_t = 200_000)]
    compare: usize,
}

/// Runs the benchmark.
pub(crate) async fn run(arguments: &EventsArguments, report: &mut Report) -> Outcome<()> {
    if arguments.batch == 0 || arguments.batch > 500 || arguments.workers == 0 {
        return Err("1 to 500 events a batch and workers are needed".into());
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
        // The jobs of a worker that was killed are taken up by the others after that.
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
    let deadline = start + LONG;
    loop {
        memory.look(&fleet)?;
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
            return Err(format!("{stored} of {expected} events in {LONG:?}").into());
        }
        sleep(Duration::from_millis(200)).await;
    }
    let all = start.elapsed();
    let (repeats, accepting) = sending.await??;
    // What comes twice comes late.
    sleep(Duration::from_secs(8)).await;
    memory.look(&fleet)?;
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
    memory.judge()
}

async fn stored(database: &mut PgConnection) -> Outcome<usize> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM analytics_events")
        .fetch_one(database)
        .await?;
    Ok(usize::try_from(count)?)
}

/// The most memory that the processes were seen with (resident, KiB).
#[derive(Default)]
struct Memory {
    api: u64,
    workers: u64,
}

impl Memory {
    fn look(&mut self, fleet: &Fleet) -> Outcome<()> {
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

    fn judge(&self) -> Outcome<()> {
        match self.api.max(self.workers) {
            most if most > MOST_MEMORY_KIB => Err(format!("a process had {most} KiB").into()),
            _ => Ok(()),
        }
    }
}

/// The kernel's own high-water mark, so that nothing is missed between two looks.
fn peak_of(process: &Avalon) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let line = line.ok_or("the kernel does not tell the process' memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
