//! What happens by the clock: each process of workers asks for a sweep now and then, each hour for what
//! is old to be deleted, in the morning for the comparison with WeChat's bill, and all day for those of
//! WeChat's figures that can be new. The jobs' keys make each one for the whole fleet.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::jobs::{
    EventRetention, PruneAudit, PullPlatformStats, Reconcile, Retention, Sweep,
};
use avalon_core::payments::reconciliation::{beijing_day, beijing_hour};
use avalon_core::platform::stats::{self, Dataset};
use avalon_queue::{JobStore, NewJob, QueueMetrics};
use jiff::{Timestamp, ToSpan};
use tokio::task::AbortHandle;

const SWEEP_EVERY: Duration = Duration::from_secs(5);
const RECONCILE_EVERY: Duration = Duration::from_secs(900);
/// Figures that were not there are asked for again after this.
const PULL_EVERY: Duration = Duration::from_secs(1800);
const DELETE_EVERY: Duration = Duration::from_secs(3600);
/// WeChat's bill of a day is there at ten the next morning, Beijing time.
const BILL_HOUR: i8 = 10;
/// Days before today that are compared, should the service have been down.
const BILL_DAYS: i64 = 3;

/// Starts the clock; aborting it stops it. Where WeChat forgets its orders (a simulator that was
/// restarted), there is no sense in comparing its bills.
pub(crate) fn start(
    store: Arc<dyn JobStore>,
    metrics: QueueMetrics,
    compares_bills: bool,
    datasets: Vec<Dataset>,
) -> AbortHandle {
    tokio::spawn(async move {
        let (mut sweeps, mut bills) = (ticks(SWEEP_EVERY), ticks(RECONCILE_EVERY));
        let (mut deletions, mut figures) = (ticks(DELETE_EVERY), ticks(PULL_EVERY));
        loop {
            let jobs = tokio::select! {
                // A little less than the pace, so that each tick finds the last sweep's key gone.
                _ = sweeps.tick() => Sweep {}.into_job(SWEEP_EVERY / 2).into_iter().collect(),
                _ = bills.tick(), if compares_bills => days_to_compare(Timestamp::now()),
                _ = figures.tick() => figures_to_pull(&datasets, Timestamp::now()),
                _ = deletions.tick() => {
                    let once = DELETE_EVERY / 2;
                    let (audit, rest) = (PruneAudit {}.into_job(once), Retention {}.into_job(once));
                    let events = EventRetention {}.into_job(once);
                    audit.into_iter().chain(rest).chain(events).collect()
                }
            };
            let names: Vec<_> = jobs
                .iter()
                .map(|job: &NewJob| (job.queue.clone(), job.kind.clone()))
                .collect();
            match store.enqueue(jobs).await {
                Ok(enqueued) => metrics.enqueued_of(&enqueued, &names),
                Err(error) => {
                    tracing::debug!(%error, "what happens by the clock could not be enqueued");
                }
            }
        }
    })
    .abort_handle()
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// Days whose bills are there. One that was compared before is found done by its job.
fn days_to_compare(now: Timestamp) -> Vec<NewJob> {
    let today = beijing_day(now);
    let newest = if beijing_hour(now) >= BILL_HOUR { 1 } else { 2 };
    (newest..newest + BILL_DAYS)
        .filter_map(|ago| today.checked_sub(ago.days()).ok())
        .filter_map(|day| Reconcile { day, again: false }.into_job().ok())
        .collect()
}

/// WeChat's figures that can be new. Those that are not are found so by their job.
fn figures_to_pull(datasets: &[Dataset], now: Timestamp) -> Vec<NewJob> {
    let of = |dataset: &Dataset| {
        let days = stats::days_to_pull(dataset, now).into_iter();
        let dataset = dataset.clone();
        days.map(move |day| PullPlatformStats {
            day,
            dataset: dataset.clone(),
        })
    };
    datasets
        .iter()
        .flat_map(of)
        .filter_map(|job| job.into_job(PULL_EVERY / 2).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_is_asked_for_when_it_is_there() {
        let days = |at: &str| -> Vec<String> {
            let jobs = days_to_compare(at.parse().unwrap());
            jobs.iter()
                .map(|job| job.payload.get().to_owned())
                .collect()
        };
        // Nine and ten in the morning at Beijing.
        assert_eq!(days("2026-01-10T01:00:00Z")[0], r#"{"day":"2026-01-08"}"#);
        assert_eq!(days("2026-01-10T02:00:00Z")[0], r#"{"day":"2026-01-09"}"#);
        assert_eq!(days("2026-01-10T02:00:00Z").len(), 3);
    }
}
