//! The bare queue of apalis-redis: `avalon-bench-apalis-redis JOBS CONCURRENCY RATE SECONDS`, with `REDIS_URL`.
//! Prints the rates of enqueueing and of draining, and the waits of single jobs at a fixed rate; null for what
//! it did not survive. Every job returns a result, which is stored.
//!
//! A backlog of more than about 8,000 jobs stops its worker for good, so jobs come in waves.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apalis::prelude::*;
use apalis_redis::{Config, ConnectionManager, RedisStorage};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;
type Storage = RedisStorage<Timed>;

const WAVE: u64 = 5_000;
const PUSHED_AT_ONCE: u64 = 100;
const FETCHED_AT_ONCE: usize = 100;
const FILLER_BYTES: usize = 180;
/// A part that takes longer than this has stopped.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
struct Timed {
    /// Nanoseconds since the start of the process.
    at: u64,
    filler: String,
}

#[derive(Deserialize, Serialize)]
struct Done {
    done: bool,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    pushed_per_second: Option<f64>,
    drained_per_second: Option<f64>,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = || -> Outcome<u64> {
        Ok(arguments
            .next()
            .ok_or("JOBS CONCURRENCY RATE SECONDS")?
            .parse()?)
    };
    let (jobs, concurrency, rate, seconds) = (number()?, number()?, number()?, number()?);
    let queue = Queue {
        redis: apalis_redis::connect(std::env::var("REDIS_URL")?).await?,
        concurrency: usize::try_from(concurrency)?,
        epoch: Instant::now(),
    };
    let mut figures = Figures::default();
    match queue.waves(jobs).await {
        Ok((pushed, drained)) => {
            figures.pushed_per_second = Some(pushed);
            figures.drained_per_second = Some(drained);
        }
        Err(error) => eprintln!("draining: {error}"),
    }
    match queue.waits(rate, seconds).await {
        Ok(waits) => {
            let ms = |quantile| {
                Duration::from_micros(waits.value_at_quantile(quantile)).as_secs_f64() * 1e3
            };
            figures.p50_ms = Some(ms(0.5));
            figures.p99_ms = Some(ms(0.99));
        }
        Err(error) => eprintln!("waits: {error}"),
    }
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

struct Queue {
    redis: ConnectionManager,
    concurrency: usize,
    epoch: Instant,
}

impl Queue {
    fn storage(&self, name: &str) -> Storage {
        let config = Config::default().queue(name).batch_size(FETCHED_AT_ONCE);
        RedisStorage::new(self.redis.clone()).with_config(config)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Jobs per second that are pushed, and drained by a worker that is started afterwards.
    async fn waves(&self, jobs: u64) -> Outcome<(f64, f64)> {
        let (mut pushing, mut draining) = (Duration::ZERO, Duration::ZERO);
        let mut left = jobs;
        while left > 0 {
            let wave = left.min(WAVE);
            let mut storage = self.storage(&format!("wave-{left}"));
            let start = Instant::now();
            let mut unpushed = wave;
            while unpushed > 0 {
                let batch = unpushed.min(PUSHED_AT_ONCE);
                storage
                    .push_bulk((0..batch).map(|_| timed(0)).collect())
                    .await?;
                unpushed -= batch;
            }
            pushing += start.elapsed();
            draining += self.drain(storage, wave).await?;
            left -= wave;
        }
        let rate = |time: Duration| jobs as f64 / time.as_secs_f64();
        Ok((rate(pushing), rate(draining)))
    }

    /// Time from the start of the first job until all results are stored.
    async fn drain(&self, storage: Storage, jobs: u64) -> Outcome<Duration> {
        let done = storage.get_config().done_jobs_set();
        let (sender, mut started) = mpsc::unbounded_channel();
        let worker = self.worker(storage, sender);
        let wait = async {
            started.recv().await.ok_or("the worker has stopped")?;
            let start = Instant::now();
            let mut redis = self.redis.clone();
            loop {
                let settled: u64 = redis::cmd("SCARD")
                    .arg(&done)
                    .query_async(&mut redis)
                    .await?;
                if settled >= jobs {
                    return Ok(start.elapsed());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let drained = tokio::time::timeout(TIMEOUT, wait).await;
        worker.abort();
        drained?
    }

    /// Waits of single jobs that are pushed on schedule, from before that until their handler starts,
    /// microseconds.
    async fn waits(&self, rate: u64, seconds: u64) -> Outcome<Histogram<u64>> {
        // An idle worker looks for jobs every 30 s. Publish and subscribe would not help: a push counts as
        // scheduled, and only ready jobs are announced.
        let storage = self.storage("waits");
        let (sender, mut started) = mpsc::unbounded_channel();
        let worker = self.worker(storage.clone(), sender);
        let warm_up = rate;
        let jobs = warm_up + rate * seconds;
        let mut timer = tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate)?.max(1));
        let failed = Arc::new(AtomicU64::new(0));
        let push_all = async {
            for _ in 0..jobs {
                timer.tick().await;
                let (mut storage, job, failed) =
                    (storage.clone(), timed(self.now()), Arc::clone(&failed));
                tokio::spawn(async move {
                    if storage.push(job).await.is_err() {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        };
        let mut waits = Histogram::new_with_bounds(1, 120_000_000, 3)?;
        let record_all = async {
            for seen in 0..jobs {
                let (at, started): (u64, Instant) =
                    started.recv().await.ok_or("the worker has stopped")?;
                let wait = started
                    .duration_since(self.epoch)
                    .saturating_sub(Duration::from_nanos(at));
                if seen >= warm_up {
                    waits.saturating_record(u64::try_from(wait.as_micros())?.max(1));
                }
            }
            Outcome::Ok(())
        };
        let limit = TIMEOUT + Duration::from_secs(seconds);
        let ((), recorded) = tokio::join!(push_all, tokio::time::timeout(limit, record_all));
        worker.abort();
        recorded??;
        match failed.load(Ordering::Relaxed) {
            0 => Ok(waits),
            failed => Err(format!("{failed} jobs were not pushed").into()),
        }
    }

    /// A worker that reports the start of each job.
    fn worker(
        &self,
        storage: Storage,
        started: mpsc::UnboundedSender<(u64, Instant)>,
    ) -> tokio::task::JoinHandle<()> {
        let handler = move |job: Timed| {
            let _ = started.send((job.at, Instant::now()));
            std::future::ready(Ok::<_, std::io::Error>(Done { done: true }))
        };
        let name = format!("worker-{}", self.now());
        let worker = WorkerBuilder::new(name)
            .backend(storage)
            .concurrency(self.concurrency)
            .build(handler);
        tokio::spawn(async move {
            if let Err(error) = worker.run().await {
                eprintln!("the worker has stopped: {error}");
            }
        })
    }
}

fn timed(at: u64) -> Timed {
    Timed {
        at,
        filler: "x".repeat(FILLER_BYTES),
    }
}
