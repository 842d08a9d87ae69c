//! `bench queue`: the queue alone, without HTTP or WeChat. This file chooses the measurements for each
//! engine; `measure` implements them, `engine` starts the engines.

mod engine;
mod measure;
mod noop;

use clap::{Args, ValueEnum};

use crate::Outcome;
use crate::report::{Figure, Report};
use engine::{Engine, Fsync};

/// What to measure.
#[derive(Args)]
pub(crate) struct QueueArguments {
    /// The engine.
    #[arg(long, value_enum, default_value_t = EngineChoice::All)]
    engine: EngineChoice,
    /// Jobs to push and then to drain.
    #[arg(long, default_value_t = 100_000)]
    jobs: u64,
    /// Rounds; the medians are reported.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// Only compare the drain rate of backlogs of these sizes, on Redis.
    #[arg(long, value_delimiter = ',', value_name = "JOBS")]
    backlog: Vec<u64>,
    /// Concurrent tasks that push batches of 100 jobs.
    #[arg(long, default_value_t = 16)]
    pushers: u64,
    /// Jobs that run concurrently.
    #[arg(long, default_value_t = 256)]
    concurrency: usize,
    /// Single jobs whose wait on an idle pool is measured.
    #[arg(long, default_value_t = 1000)]
    singles: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EngineChoice {
    Redis,
    Sqlite,
    All,
}

/// Runs the benchmark.
pub(crate) async fn run(arguments: &QueueArguments, report: &mut Report) -> Outcome<()> {
    for backlog in &arguments.backlog {
        let engine = Engine::redis(Fsync::Always).await?;
        let figures = throughput(&engine, *backlog, arguments).await?;
        report.add(format!("redis, backlog of {backlog}"), figures);
    }
    if !arguments.backlog.is_empty() {
        return Ok(());
    }
    if arguments.engine != EngineChoice::Sqlite {
        let always = Engine::redis(Fsync::Always).await?;
        measure_all("redis, fsync always", always, arguments, report).await?;
        let everysec = Engine::redis(Fsync::EverySecond).await?;
        measure_all("redis, fsync everysec", everysec, arguments, report).await?;
    }
    if arguments.engine != EngineChoice::Redis {
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
    let mut figures = throughput(&engine, arguments.jobs, arguments).await?;
    let (singles, concurrency) = (arguments.singles, arguments.concurrency);
    let waits = measure::waits(&engine.store, singles, concurrency).await?;
    figures.push(("p50 ms", waits.percentile_ms(50), 2));
    figures.push(("p99 ms", waits.percentile_ms(99), 2));
    report.add(subject, figures);
    Ok(())
}

/// Medians of several rounds, and the slowest drain, since a shared machine varies a lot. A small backlog
/// drains too fast for a few rounds, so it gets more.
async fn throughput(
    engine: &Engine,
    jobs: u64,
    arguments: &QueueArguments,
) -> Outcome<Vec<Figure>> {
    let (mut pushed, mut drained) = (Vec::new(), Vec::new());
    let for_small = (20_000 / jobs.max(1)).min(20);
    for _ in 0..arguments.rounds.max(for_small).max(1) {
        pushed.push(measure::push(&engine.store, jobs, arguments.pushers).await?);
        drained.push(measure::drain(&engine.store, jobs, arguments.concurrency).await?);
    }
    pushed.sort_unstable_by(f64::total_cmp);
    drained.sort_unstable_by(f64::total_cmp);
    Ok(vec![
        ("push/s", pushed[pushed.len() / 2], 0),
        ("drain/s", drained[drained.len() / 2], 0),
        ("slowest", drained[0], 0),
    ])
}
