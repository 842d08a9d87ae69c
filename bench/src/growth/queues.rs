//! The cost of a job of the bare queue while the same jobs are spread over more queues: drained from a backlog,
//! and at a rate. Each queue has a pool of its own, as in a worker process.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use avalon_test_support::{Program, RedisServer};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::series::Series;
use super::spread;
use super::{GrowthArguments, WARM_UP, as_float};
use crate::Outcome;
use crate::compare::cpu::Meter;
use crate::compare::quiet;
use crate::report::Report;

/// Jobs that run at once, per queue, as in the service.
const CONCURRENCY: usize = 64;
const POLL: Duration = Duration::from_millis(5);

/// Measures every number of queues in each round.
pub(super) async fn run(arguments: &GrowthArguments, report: &mut Report) -> Outcome<()> {
    let sizes = arguments.queues.iter().map(usize::to_string);
    let mut series = Series::new("bare queue, queues", sizes);
    for size in arguments.turns(arguments.queues.len()) {
        backlog(arguments, size, &mut series).await?;
        rate(arguments, size, &mut series).await?;
    }
    series.report(report);
    Ok(())
}

async fn backlog(arguments: &GrowthArguments, size: usize, series: &mut Series) -> Outcome<()> {
    let (queues, jobs) = (arguments.queues[size], arguments.queue_jobs);
    let redis = arguments.redis().await;
    let store = spread::store_in(&redis, queues)?;
    spread::push(&store, queues, jobs).await?;
    let processes = vec![("redis", redis.id())];
    quiet::wait(arguments.quiet(), &processes).await?;
    let started = Arc::new(AtomicU64::new(0));
    let meter = Meter::start(processes)?;
    let pools = spread::start(&store, queues, CONCURRENCY, &started)?;
    while started.load(Ordering::Relaxed) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let begin = Instant::now();
    while started.load(Ordering::Relaxed) < jobs || spread::waiting(&store).await? > 0 {
        sleep(POLL).await;
    }
    let (seconds, used) = (begin.elapsed().as_secs_f64(), meter.stop()?);
    spread::stop(pools).await;
    let thousands = as_float(jobs) / 1e3;
    series.add(size, "drained/s", as_float(jobs) / seconds, 0);
    series.cpu(
        size,
        "CPU ms per 1,000 jobs of a backlog, worker",
        &used,
        &["driver"],
        thousands,
    );
    series.cpu(
        size,
        "CPU ms per 1,000 jobs of a backlog, Redis",
        &used,
        &["redis"],
        thousands,
    );
    series.disturbed(size, &used);
    Ok(())
}

async fn rate(arguments: &GrowthArguments, size: usize, series: &mut Series) -> Outcome<()> {
    let queues = arguments.queues[size];
    let redis = arguments.redis().await;
    let store = spread::store_in(&redis, queues)?;
    let processes = vec![("redis", redis.id())];
    quiet::wait(arguments.quiet(), &processes).await?;
    let started = Arc::new(AtomicU64::new(0));
    let pools = spread::start(&store, queues, CONCURRENCY, &started)?;
    let producer = producer(&redis, queues, arguments)?;
    sleep(WARM_UP).await;
    let (before, meter) = (started.load(Ordering::Relaxed), Meter::start(processes)?);
    sleep(arguments.time()).await;
    let (after, used) = (started.load(Ordering::Relaxed), meter.stop()?);
    let output = producer.wait_with_output().await?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the producer failed: {errors}").into());
    }
    spread::stop(pools).await;
    let jobs = as_float(after - before);
    let thousands = jobs / 1e3;
    series.add(
        size,
        "jobs/s on schedule",
        jobs / arguments.time().as_secs_f64(),
        0,
    );
    series.cpu(
        size,
        "CPU ms per 1,000 jobs at a rate, worker",
        &used,
        &["driver"],
        thousands,
    );
    series.cpu(
        size,
        "CPU ms per 1,000 jobs at a rate, Redis",
        &used,
        &["redis"],
        thousands,
    );
    Ok(())
}

/// Starts the producer, which ends well after the measurement.
fn producer(redis: &RedisServer, queues: usize, arguments: &GrowthArguments) -> Outcome<Child> {
    let seconds = arguments.seconds + 2 * u32::try_from(WARM_UP.as_secs())?;
    let mut command = Program::command(std::env::current_exe()?);
    command
        .args(["growth-producer", "--redis", &redis.url()])
        .args(["--queues", &queues.to_string()])
        .args(["--rate", &arguments.queue_rate.to_string()])
        .args(["--seconds", &seconds.to_string()]);
    Ok(Command::from(command)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?)
}
