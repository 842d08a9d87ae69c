//! The bare queue: a stream, a consumer group, results with a TTL.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use redis::pipe;

use super::lane::Lane;
use super::{Figures, FloorArguments, as_float};
use crate::Outcome;

/// Jobs per round trip.
const BATCH: u64 = 100;
const PAYLOAD_BYTES: usize = 200;
const RESULT: &str = "{\"done\":true}";

pub(super) async fn measure(arguments: &FloorArguments) -> Outcome<Figures> {
    let jobs = arguments.operations;
    let mut lane = Lane::connect(0, &arguments.redis, &arguments.database).await?;
    let mut start = Instant::now();
    let mut left = jobs;
    while left > 0 {
        let batch = left.min(BATCH);
        lane.enqueue((0..batch).map(|_| vec![b'x'; PAYLOAD_BYTES]))
            .await?;
        left -= batch;
    }
    let pushed = as_float(jobs) / start.elapsed().as_secs_f64();
    start = Instant::now();
    drain(&mut lane, jobs).await?;
    let drained = as_float(jobs) / start.elapsed().as_secs_f64();
    let waits = waits(arguments).await?;
    let ms = |quantile| as_float(waits.value_at_quantile(quantile)) / 1000.0;
    Ok([
        ("pushedPerSecond", pushed),
        ("drainedPerSecond", drained),
        ("p50Ms", ms(0.5)),
        ("p99Ms", ms(0.99)),
    ]
    .into())
}

/// The next jobs are read in the round trip that settles the previous ones.
async fn drain(lane: &mut Lane, jobs: u64) -> Outcome<()> {
    let mut leased = lane.lease(BATCH).await?;
    let mut settled = 0;
    while !leased.is_empty() {
        settled += leased.len() as u64;
        let mut pipeline = pipe();
        lane.settle(&leased, RESULT, &mut pipeline);
        let mut redis = lane.redis.clone();
        let (done, next) = tokio::join!(pipeline.exec_async(&mut redis), lane.lease(BATCH));
        done?;
        leased = next?;
    }
    match settled == jobs {
        true => Ok(()),
        false => Err(format!("{settled} of {jobs} jobs were settled").into()),
    }
}

/// Waits of single jobs that are enqueued on schedule, from before that until a consumer has them,
/// microseconds.
async fn waits(arguments: &FloorArguments) -> Outcome<Histogram<u64>> {
    let connect = |number| Lane::connect(number, &arguments.redis, &arguments.database);
    let (mut consumer, epoch) = (connect(1).await?, Instant::now());
    // Another connection: this one blocks.
    let mut producer = consumer.redis.clone();
    let blocking = redis::Client::open(&*arguments.redis)?;
    consumer.redis = blocking.get_multiplexed_async_connection().await?;
    let number = u64::from(arguments.job_rate * arguments.job_seconds);
    let interval = Duration::from_secs(1) / arguments.job_rate.max(1);
    let enqueueing = tokio::spawn(async move {
        let mut timer = tokio::time::interval(interval);
        for _ in 0..number {
            timer.tick().await;
            let at = epoch.elapsed().as_nanos().to_string();
            redis::cmd("XADD")
                .arg(&["floor:1", "*", "j", &at])
                .exec_async(&mut producer)
                .await?;
        }
        Ok::<_, redis::RedisError>(())
    });
    let mut waits = Histogram::new_with_bounds(1, 60_000_000, 3)?;
    while waits.len() < number {
        let leased = consumer.lease_waiting(BATCH).await?;
        let now = epoch.elapsed().as_nanos();
        for job in &leased {
            let at: u128 = std::str::from_utf8(&job.body)?.parse()?;
            let micros = u64::try_from(now.saturating_sub(at) / 1000)?;
            waits.saturating_record(micros.max(1));
        }
        if leased.is_empty() && enqueueing.is_finished() {
            break;
        }
        if !leased.is_empty() {
            consumer.settle_all(&leased, RESULT).await?;
        }
    }
    enqueueing.await??;
    Ok(waits)
}
