//! The rate of the bare queue while about this many jobs wait. A backlog of a thousand is drained within
//! milliseconds, so producers enqueue as many jobs as start; with any backlog they do the same work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::series::Series;
use super::spread::{self, BATCH, Store};
use super::{GrowthArguments, WARM_UP, as_float};
use crate::Outcome;
use crate::compare::cpu::Meter;
use crate::compare::quiet;
use crate::report::Report;

const PRODUCERS: usize = 4;
/// Jobs that run at once.
const CONCURRENCY: usize = 256;

/// Measures every backlog in each round.
pub(super) async fn run(arguments: &GrowthArguments, report: &mut Report) -> Outcome<()> {
    let sizes = arguments.backlogs.iter().map(u64::to_string);
    let mut series = Series::new("bare queue, jobs waiting", sizes);
    for size in arguments.turns(arguments.backlogs.len()) {
        measure(arguments, size, &mut series).await?;
    }
    series.report(report);
    Ok(())
}

async fn measure(arguments: &GrowthArguments, size: usize, series: &mut Series) -> Outcome<()> {
    let backlog = arguments.backlogs[size];
    let redis = arguments.redis().await;
    let store = spread::store_in(&redis, 1)?;
    spread::push(&store, 1, backlog).await?;
    let processes = vec![("redis", redis.id())];
    quiet::wait(arguments.quiet(), &processes).await?;
    let held = Arc::new(Held {
        backlog,
        enqueued: AtomicU64::new(backlog),
        started: Arc::default(),
        stop: AtomicBool::new(false),
    });
    let pools = spread::start(&store, 1, CONCURRENCY, &held.started)?;
    let mut producers = JoinSet::new();
    for _ in 0..PRODUCERS {
        producers.spawn(produce(Arc::clone(&store), Arc::clone(&held)));
    }
    sleep(WARM_UP).await;
    let meter = Meter::start(processes)?;
    let (before, begin) = (held.started.load(Ordering::Relaxed), Instant::now());
    let mut waiting = Vec::new();
    while begin.elapsed() < arguments.time() {
        sleep(Duration::from_millis(500)).await;
        waiting.push(spread::waiting(&store).await?);
    }
    let jobs = as_float(held.started.load(Ordering::Relaxed) - before);
    let (seconds, used) = (begin.elapsed().as_secs_f64(), meter.stop()?);
    held.stop.store(true, Ordering::Relaxed);
    while let Some(producer) = producers.join_next().await {
        producer??;
    }
    spread::stop(pools).await;
    let least = waiting.iter().min().copied().unwrap_or_default();
    series.add(size, "jobs/s", jobs / seconds, 0);
    series.add(size, "least seen waiting", as_float(least), 0);
    let thousands = jobs / 1e3;
    series.cpu(
        size,
        "CPU ms per 1,000 jobs, producers and worker",
        &used,
        &["driver"],
        thousands,
    );
    series.cpu(
        size,
        "CPU ms per 1,000 jobs, Redis",
        &used,
        &["redis"],
        thousands,
    );
    series.disturbed(size, &used);
    Ok(())
}

/// What the producers share.
struct Held {
    /// Jobs that wait or are about to be enqueued.
    backlog: u64,
    enqueued: AtomicU64,
    started: Arc<AtomicU64>,
    stop: AtomicBool,
}

async fn produce(store: Store, held: Arc<Held>) -> Outcome<()> {
    // A batch at a time, at most the backlog.
    let jobs = BATCH.min(held.backlog.max(1));
    while !held.stop.load(Ordering::Relaxed) {
        let after = held.enqueued.fetch_add(jobs, Ordering::Relaxed) + jobs;
        if after > held.backlog + held.started.load(Ordering::Relaxed) {
            held.enqueued.fetch_sub(jobs, Ordering::Relaxed);
            sleep(Duration::from_millis(1)).await;
            continue;
        }
        store.enqueue(spread::batch(0, jobs)).await?;
    }
    Ok(())
}
