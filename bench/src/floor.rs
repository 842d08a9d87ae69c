//! `avalon-bench floor`: the Redis and Postgres work of a scenario, written by hand, batched and pipelined, and
//! nothing else: no HTTP, no JSON, no signatures, no retries. It writes what our service writes, so its figures
//! are what the stores allow on this machine. Internal: `compare` starts it, with a seeded database.
//!
//! A few lanes work side by side, each on a batch at a time, so that one lane's Redis overlaps with
//! another's Postgres.

mod accounts;
mod events;
mod lane;
mod orders;
mod queue;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Args;

use crate::Outcome;
use crate::compare::{EVENTS_PER_REPORT, Scenario};
use lane::Lane;

/// Operations that a lane handles at once.
const BATCH: u64 = 32;

/// The work.
#[derive(Args)]
pub(crate) struct FloorArguments {
    #[arg(value_enum)]
    scenario: Scenario,
    #[arg(long)]
    database: String,
    #[arg(long)]
    redis: String,
    /// Number of operations; an operation of the event scenarios is a report.
    #[arg(long)]
    operations: u64,
    /// Number of the first order.
    #[arg(long, default_value_t = 0)]
    first: u64,
    #[arg(long, default_value_t = 2)]
    lanes: u64,
    /// Single jobs per second, and for how long, to measure waits of the bare queue.
    #[arg(long, default_value_t = 200)]
    job_rate: u32,
    #[arg(long, default_value_t = 1)]
    job_seconds: u32,
}

/// Figures by key.
type Figures = BTreeMap<&'static str, f64>;

/// Does the work and prints the figures as JSON.
pub(crate) async fn run(arguments: &FloorArguments) -> Outcome<()> {
    let figures = match arguments.scenario {
        Scenario::SignIn => {
            let lanes = arguments.lanes().await?;
            let each = arguments
                .each(lanes, async |lane, batch| {
                    accounts::sign_in(lane, batch).await
                })
                .await?;
            [("perSecond", each.rate)].into()
        }
        Scenario::Callbacks => {
            let each = arguments
                .each(arguments.lanes().await?, async |lane, batch| {
                    orders::accept(lane, batch).await?;
                    orders::process(lane).await
                })
                .await?;
            both(each.rate, each.rate)
        }
        Scenario::CallbacksBacklog => {
            let (accept, process) = (
                async |lane: &mut Lane, batch| orders::accept(lane, batch).await,
                async |lane: &mut Lane, _| orders::process(lane).await,
            );
            let accepted = arguments.each(arguments.lanes().await?, accept).await?;
            let processed = arguments.each(accepted.lanes, process).await?;
            both(accepted.rate, processed.rate)
        }
        Scenario::Events => {
            let each = arguments
                .each(arguments.lanes().await?, async |lane, batch| {
                    events::accept(lane, batch).await?;
                    events::process(lane).await
                })
                .await?;
            both(in_events(each.rate), in_events(each.rate))
        }
        Scenario::EventsBacklog => {
            let (accept, process) = (
                async |lane: &mut Lane, batch| events::accept(lane, batch).await,
                async |lane: &mut Lane, _| events::process(lane).await,
            );
            let accepted = arguments.each(arguments.lanes().await?, accept).await?;
            let processed = arguments.each(accepted.lanes, process).await?;
            both(in_events(accepted.rate), in_events(processed.rate))
        }
        Scenario::CreateOrder => {
            let each = arguments
                .each(arguments.lanes().await?, async |lane, batch| {
                    orders::create(lane, batch).await
                })
                .await?;
            [("perSecond", each.rate)].into()
        }
        Scenario::GetOrder => {
            let mut lanes = arguments.lanes().await?;
            for lane in &mut lanes {
                accounts::create_sessions(lane).await?;
            }
            let each = arguments
                .each(lanes, async |lane, batch| orders::read(lane, batch).await)
                .await?;
            [("perSecond", each.rate)].into()
        }
        Scenario::Queue => queue::measure(arguments).await?,
        Scenario::SignInRate | Scenario::Deliveries | Scenario::DeliveriesPlain => {
            return Err(format!("the floor has no {}", arguments.scenario).into());
        }
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

fn both(accepted: f64, processed: f64) -> Figures {
    [
        ("acceptedPerSecond", accepted),
        ("processedPerSecond", processed),
    ]
    .into()
}

fn in_events(reports: f64) -> f64 {
    reports * f64::from(EVENTS_PER_REPORT)
}

/// A finished round.
struct Done {
    /// Operations per second.
    rate: f64,
    lanes: Vec<Lane>,
}

impl FloorArguments {
    async fn lanes(&self) -> Outcome<Vec<Lane>> {
        let mut lanes = Vec::new();
        for number in 0..self.lanes {
            lanes.push(Lane::connect(number, &self.redis, &self.database).await?);
        }
        Ok(lanes)
    }

    /// Does a step for all operations, in batches that the lanes take in turn.
    async fn each<F>(&self, lanes: Vec<Lane>, step: F) -> Outcome<Done>
    where
        F: AsyncFn(&mut Lane, Range<u64>) -> Outcome<()> + Copy,
    {
        let (first, end) = (self.first, self.first + self.operations);
        let next = Arc::new(AtomicU64::new(first));
        let start = Instant::now();
        let steps = lanes.into_iter().map(|mut lane| {
            let next = Arc::clone(&next);
            async move {
                loop {
                    let from = next.fetch_add(BATCH, Ordering::Relaxed);
                    if from >= end {
                        return Ok::<_, Box<dyn std::error::Error + Send + Sync>>(lane);
                    }
                    step(&mut lane, from..(from + BATCH).min(end)).await?;
                }
            }
        });
        let lanes = futures_util::future::try_join_all(steps).await?;
        Ok(Done {
            rate: as_float(self.operations) / start.elapsed().as_secs_f64(),
            lanes,
        })
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_float(number: u64) -> f64 {
    number as f64
}
