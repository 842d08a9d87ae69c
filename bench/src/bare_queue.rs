//! `avalon-bench bare-queue`: our queue over an empty Redis, without HTTP and WeChat, in one process; every job
//! returns a result, which is stored. Internal: `compare` starts it. `queue` measures more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use avalon_queue::{Handlers, Job, JobStore, NewJob, Pool, PoolSettings, QueueMetrics, QueueName};
use avalon_queue::{RedisEndpoint, RedisSettings, RedisStreams, RetryPolicy};
use clap::Args;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use crate::Outcome;

const QUEUE: QueueName = QueueName::new("bench");
const BATCH: u64 = 100;
const PUSHERS: u64 = 16;
const FILLER_BYTES: usize = 180;
/// Jobs per second before the measured ones, for a second.
const WARM_UP_SECONDS: u32 = 1;

/// The load.
#[derive(Args)]
pub(crate) struct BareQueueArguments {
    #[arg(long)]
    redis: String,
    #[arg(long)]
    jobs: u64,
    #[arg(long, default_value_t = 256)]
    concurrency: usize,
    #[arg(long, default_value_t = 200)]
    rate: u32,
    #[arg(long, default_value_t = 1)]
    seconds: u32,
}

/// The job: 200 bytes of payload.
#[derive(Clone, Serialize, Deserialize)]
struct Timed {
    /// Nanoseconds since the start of the process.
    at: u64,
    filler: String,
}

/// Its result.
#[derive(Serialize, Deserialize)]
struct Done {
    done: bool,
}

impl Job for Timed {
    const QUEUE: QueueName = QUEUE;
    const KIND: &'static str = "timed";
    const RETRY: RetryPolicy = RetryPolicy::NEVER;
    const TIME_LIMIT: Duration = Duration::from_secs(10);
    type Output = Done;
}

/// Measures, and prints the figures as JSON.
pub(crate) async fn run(arguments: &BareQueueArguments) -> Outcome<()> {
    let settings = RedisSettings {
        prefix: "bench".to_owned(),
        queues: vec![QUEUE],
        shards: 1,
    };
    let store = RedisStreams::new(RedisEndpoint::new(&arguments.redis)?, settings);
    let measured = Measured {
        store: Arc::new(store),
        arguments,
        epoch: Instant::now(),
    };
    let pushed = measured.push().await?;
    let drained = measured.drain().await?;
    let waits = measured.waits().await?;
    let ms =
        |quantile| Duration::from_micros(waits.value_at_quantile(quantile)).as_secs_f64() * 1e3;
    let figures = json!({
        "pushedPerSecond": pushed,
        "drainedPerSecond": drained,
        "p50Ms": ms(0.5),
        "p99Ms": ms(0.99),
    });
    println!("{figures}");
    Ok(())
}

struct Measured<'a> {
    store: Arc<dyn JobStore>,
    arguments: &'a BareQueueArguments,
    epoch: Instant,
}

impl Measured<'_> {
    fn job(at: u64) -> NewJob {
        NewJob::from_job(&Timed {
            at,
            filler: "x".repeat(FILLER_BYTES),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    async fn push(&self) -> Outcome<f64> {
        let (jobs, start) = (self.arguments.jobs, Instant::now());
        let mut pushers = JoinSet::new();
        for pusher in 0..PUSHERS {
            let mut left = jobs / PUSHERS + u64::from(pusher < jobs % PUSHERS);
            let store = Arc::clone(&self.store);
            pushers.spawn(async move {
                while left > 0 {
                    let batch = left.min(BATCH);
                    store
                        .enqueue((0..batch).map(|_| Self::job(0)).collect())
                        .await?;
                    left -= batch;
                }
                Ok::<_, avalon_queue::StoreError>(())
            });
        }
        while let Some(pusher) = pushers.join_next().await {
            pusher??;
        }
        Ok(rate(jobs, start))
    }

    /// Jobs per second from the start of the first until all are settled.
    async fn drain(&self) -> Outcome<f64> {
        let (sender, mut started) = tokio::sync::mpsc::unbounded_channel();
        let pool = self.pool(sender)?;
        started.recv().await.ok_or("the pool has stopped")?;
        let start = Instant::now();
        while !self.is_empty().await? {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let drained = rate(self.arguments.jobs, start);
        pool.stop().await;
        Ok(drained)
    }

    /// Waits of single jobs that are enqueued on schedule, from before that until their handler starts,
    /// microseconds.
    async fn waits(&self) -> Outcome<Histogram<u64>> {
        let BareQueueArguments { rate, seconds, .. } = *self.arguments;
        let (sender, mut started) = tokio::sync::mpsc::unbounded_channel();
        let pool = self.pool(sender)?;
        let warm_up = u64::from(rate * WARM_UP_SECONDS);
        let number = warm_up + u64::from(rate * seconds);
        let mut timer = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
        let mut enqueueing = JoinSet::new();
        for _ in 0..number {
            timer.tick().await;
            let (store, job) = (Arc::clone(&self.store), Self::job(self.now()));
            enqueueing.spawn(async move { store.enqueue(vec![job]).await });
        }
        while let Some(enqueued) = enqueueing.join_next().await {
            enqueued??;
        }
        let mut waits = Histogram::new_with_bounds(1, 60_000_000, 3)?;
        for seen in 0..number {
            let (at, started): (u64, Instant) =
                started.recv().await.ok_or("the pool has stopped")?;
            let wait = started
                .duration_since(self.epoch)
                .saturating_sub(Duration::from_nanos(at));
            if seen >= warm_up {
                waits.saturating_record(u64::try_from(wait.as_micros())?.max(1));
            }
        }
        pool.stop().await;
        Ok(waits)
    }

    /// A pool that reports the start of each job.
    fn pool(&self, started: UnboundedSender<(u64, Instant)>) -> Outcome<Pool> {
        let handlers = Handlers::new().on::<Timed, _, _>(move |job, _| {
            let _ = started.send((job.at, Instant::now()));
            std::future::ready(Ok(Done { done: true }))
        });
        let settings = PoolSettings {
            concurrency: self.arguments.concurrency,
            ..PoolSettings::default()
        };
        let metrics = QueueMetrics::new(&prometheus::Registry::new())?;
        let store = Arc::clone(&self.store);
        Ok(Pool::start(
            store,
            &QUEUE,
            Arc::new(handlers),
            settings,
            metrics,
        ))
    }

    async fn is_empty(&self) -> Outcome<bool> {
        let stats = self.store.stats().await?;
        let waiting = stats
            .iter()
            .map(|queue| queue.ready + queue.running + queue.scheduled);
        Ok(waiting.sum::<u64>() == 0)
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn rate(jobs: u64, since: Instant) -> f64 {
    jobs as f64 / since.elapsed().as_secs_f64()
}
