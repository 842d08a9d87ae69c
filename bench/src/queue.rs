//! `bench queue`: the queue alone, without HTTP or WeChat: which measurements are made on which
//! engine. How each is made stands in `measure`, the engines in `engine`.

mod engine;
mod measure;
mod noop;

use clap::{Args, ValueEnum};

use crate::Outcome;
use crate::report::Report;
use engine::{Engine, Fsync};

/// What to measure.
#[derive(Args)]
pub(crate) struct QueueArguments {
    /// The engine.
    #[arg(long, value_enum, default_value_t = Which::All)]
    engine: Which,
    /// Jobs to push and then to drain.
    #[arg(long, default_value_t = 100_000)]
    jobs: u64,
    /// Only compare how fast backlogs of these sizes are drained, on Redis.
    #[arg(long, value_delimiter = ',', value_name = "JOBS")]
    backlog: Vec<u64>,
    /// Tasks that push at the same time, a batch of 100 after another.
    #[arg(long, default_value_t = 16)]
    pushers: u64,
    /// Jobs that run at the same time.
    #[arg(long, default_value_t = 256)]
    concurrency: usize,
    /// Single jobs whose wait on an idle pool is measured.
    #[arg(long, default_value_t = 1000)]
    singles: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Redis,
    Sqlite,
    All,
}

/// Runs the benchmark.
pub(crate) async fn run(arguments: &QueueArguments, report: &mut Report) -> Outcome<()> {
    for backlog in &arguments.backlog {
        let drained = compare_backlog(*backlog, arguments).await?;
        let subject = format!("redis, backlog of {backlog}");
        report.add(subject, vec![("drain/s", drained, 0)]);
    }
    if !arguments.backlog.is_empty() {
        return Ok(());
    }
    if arguments.engine != Which::Sqlite {
        let always = Engine::redis(Fsync::Always).await?;
        measure_all("redis, fsync always", always, arguments, report).await?;
        let everysec = Engine::redis(Fsync::EverySecond).await?;
        measure_all("redis, fsync everysec", everysec, arguments, report).await?;
    }
    if arguments.engine != Which::Redis {
        let sqlite = Engine::sqlite().await?;
        measure_all("sqlite", sqlite, arguments, report).await?;
    }
    Ok(())
}

async fn measure_all(
    subject: &str,
    engine: Engine,
    arguments: &QueueArguments,
    report: &mut Report,
) -> Outcome<()> {
    let store = &engine.store;
    let pushed = measure::push(store, arguments.jobs, arguments.pushers).await?;
    let drained = measure::drain(store, arguments.jobs, arguments.concurrency).await?;
    let waits = measure::waits(store, arguments.singles, arguments.concurrency).await?;
    let figures = vec![
        ("push/s", pushed, 0),
        ("drain/s", drained, 0),
        ("p50 ms", waits.percentile_ms(50), 2),
        ("p99 ms", waits.percentile_ms(99), 2),
    ];
    report.add(subject, figures);
    Ok(())
}

/// A small backlog is over too soon for one look: it is drained several times, and the median counts.
async fn compare_backlog(jobs: u64, arguments: &QueueArguments) -> Outcome<f64> {
    let engine = Engine::redis(Fsync::Always).await?;
    let mut rates = Vec::new();
    for _ in 0..(100_000 / jobs.max(1)).clamp(1, 21) {
        measure::push(&engine.store, jobs, arguments.pushers).await?;
        rates.push(measure::drain(&engine.store, jobs, arguments.concurrency).await?);
    }
    rates.sort_unstable_by(f64::total_cmp);
    Ok(rates[rates.len() / 2])
}
