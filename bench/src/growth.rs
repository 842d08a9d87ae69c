//! `avalon-bench growth`: what an operation costs as there is more of something. Each question has a file, and
//! compares a small size with larger ones, in interleaved rounds over stores and processes of their own:
//! `backlog` and `queues` the bare queue, `callbacks` and `workers` payment callbacks through the whole service,
//! `orders` reads of orders. Medians of the rounds are reported, and the ratio to the small size.

mod accepted;
mod backlog;
mod bulk;
mod callbacks;
mod limit;
mod orders;
mod producer;
mod queues;
mod series;
mod spread;
mod workers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use avalon_test_support::RedisServer;
use clap::{Args, ValueEnum};
use tempfile::TempDir;

use crate::Outcome;
use crate::compare::Fsync;
use crate::compare::shared::Shared;
use crate::report::Report;

pub(crate) use producer::{ProducerArguments, produce};

/// Between the start of a load and the part of it that is measured.
const WARM_UP: Duration = Duration::from_secs(2);

/// A question.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Question {
    /// Jobs per second of the bare queue while few or many wait.
    Backlog,
    /// CPU time per job of the bare queue, spread over more and more queues.
    Queues,
    /// Callbacks per second while few or many wait.
    Callbacks,
    /// Callbacks per second of one worker and of two, each with the same share of a core.
    Workers,
    /// Latency of getOrder with few and with many orders.
    Orders,
}

/// What to measure, and how much of it.
#[derive(Args)]
pub(crate) struct GrowthArguments {
    /// Questions; all by default.
    #[arg(long, value_enum)]
    only: Vec<Question>,
    /// Interleaved rounds.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// How long to wait for other programs to pause before each measurement, seconds.
    #[arg(long, default_value_t = 30)]
    quiet: u64,
    /// The binary of this service; by default the one beside this program.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// When Redis syncs its log.
    #[arg(long, value_enum, default_value_t = Fsync::Everysec)]
    fsync: Fsync,
    /// Waiting jobs of the bare queue, from small to large.
    #[arg(long, value_delimiter = ',', default_value = "1000,1000000")]
    backlogs: Vec<u64>,
    /// Numbers of queues, at most 64.
    #[arg(long, value_delimiter = ',', default_value = "1,8,64")]
    queues: Vec<usize>,
    /// Jobs that are drained from the queues together.
    #[arg(long, default_value_t = 200_000)]
    queue_jobs: u64,
    /// Jobs per second for the queues together, while the cost of a rate is measured.
    #[arg(long, default_value_t = 2_000)]
    queue_rate: u32,
    /// Waiting callbacks, from small to large.
    #[arg(long, value_delimiter = ',', default_value = "1000,100000")]
    pending: Vec<u64>,
    /// Callbacks signed beyond those, per second of the measurement: more than can be processed.
    #[arg(long, default_value_t = 5_000)]
    callback_rate: u64,
    /// Numbers of worker processes.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    workers: Vec<usize>,
    /// Share of a core that each of them gets, percent.
    #[arg(long, default_value_t = 10)]
    share: u32,
    /// Callbacks that wait for the workers: more than they can process.
    #[arg(long, default_value_t = 50_000)]
    worker_callbacks: u64,
    /// Numbers of orders, from small to large.
    #[arg(long, value_delimiter = ',', default_value = "10000,10000000")]
    orders: Vec<u64>,
    /// Reads per second on schedule.
    #[arg(long, default_value_t = 500)]
    read_rate: u32,
}

/// Runs the benchmark.
pub(crate) async fn run(arguments: &GrowthArguments, report: &mut Report) -> Outcome<()> {
    for question in Question::value_variants() {
        if !arguments.only.is_empty() && !arguments.only.contains(question) {
            continue;
        }
        match question {
            Question::Backlog => backlog::run(arguments, report).await?,
            Question::Queues => queues::run(arguments, report).await?,
            Question::Callbacks => callbacks::run(arguments, report).await?,
            Question::Workers => workers::run(arguments, report).await?,
            Question::Orders => orders::run(arguments, report).await?,
        }
    }
    Ok(())
}

impl GrowthArguments {
    /// Starts a Redis for the bare queue. Its log is never rewritten: that comes at certain sizes of the log, so
    /// that it would disturb one size and not the other.
    async fn redis(&self) -> RedisServer {
        let mut redis = RedisServer::reserve()
            .configured("appendfsync", self.fsync.policy())
            .configured("auto-aof-rewrite-percentage", "0");
        redis.launch().await;
        redis
    }

    /// Starts Postgres. The keys are in a folder that is removed with the second value.
    async fn shared(&self) -> Outcome<(Arc<Shared>, TempDir)> {
        let folder = TempDir::with_prefix("avalon-bench-")?;
        let shared = Shared::start(folder.path(), self.binary.as_ref(), self.fsync).await?;
        Ok((Arc::new(shared), folder))
    }

    fn quiet(&self) -> Duration {
        Duration::from_secs(self.quiet)
    }

    fn time(&self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }

    /// The indexes of `sizes` sizes in all rounds: every other round begins with the last one.
    fn turns(&self, sizes: usize) -> impl Iterator<Item = usize> {
        (0..self.rounds).flat_map(move |round| {
            (0..sizes).map(move |n| if round % 2 == 0 { n } else { sizes - 1 - n })
        })
    }
}

/// Converts a count to a figure.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_float(number: u64) -> f64 {
    number as f64
}
