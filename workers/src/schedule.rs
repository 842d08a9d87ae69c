//! The schedule: which jobs are enqueued by the clock, how often, and when they apply. Every worker
//! process runs it; the idempotency keys of the kinds make each job one for the whole fleet.

use std::time::Duration;

use avalon_core::jobs::Reconcile;
use avalon_core::payments::reconciliation::{beijing_day, beijing_hour};
use avalon_core::platform::stats::{self, Dataset};
use avalon_queue::{Job, NewJob, Queue, RetryPolicy};
use jiff::{Timestamp, ToSpan};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::accounts::reconcile_bans::ReconcileBans;
use crate::analytics::event_retention::EventRetention;
use crate::payments::audit_coins::AuditCoins;
use crate::payments::retention::Retention;
use crate::payments::sweep::Sweep;
use crate::platform::prune_pushes::PrunePushes;
use crate::social::check_boards::CheckBoards;
use crate::social::end_windows::EndWindows;
use crate::social::prune_boards::PruneBoards;
use crate::social::prune_messages::PruneMessages;
use crate::social::prune_shares::PruneShares;
use crate::social::pull_cheats::PullCheats;
use crate::social::reach_days::ReachDays;
use crate::social::settle_invites::SettleInvites;
use crate::social::sweep_social::SweepSocial;
use crate::upkeep::prune_audit::PruneAudit;
use crate::upkeep::pull_platform_stats::PullPlatformStats;

/// What the conditions of the schedule depend on.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    /// Whether WeChat's bills are compared with our orders. Pointless with a simulator that loses its orders
    /// on restart.
    pub(crate) compares_bills: bool,
    /// Whether players' coins are compared with WeChat's sums. Pointless with a simulator that loses them.
    pub(crate) audits_coins: bool,
    /// Whether invitations are rewarded.
    pub(crate) rewards_invites: bool,
    /// Whether the milestone of invitations is a number of days.
    pub(crate) counts_days: bool,
    /// Datasets of WeChat's daily figures to fetch; may be empty.
    pub(crate) platform_stats: Vec<Dataset>,
}

/// One line of the schedule.
struct Entry {
    /// Time between two runs. The TTL of the job's idempotency key is shorter, so that each run finds
    /// the key of the one before expired.
    every: Duration,
    /// Whether the line applies to this process at all.
    when: fn(&Conditions) -> bool,
    /// The jobs of a run at this time.
    jobs: fn(&Conditions, Timestamp) -> Vec<NewJob>,
}

/// Attempts of a scheduled job. The next run does the same work, so that few suffice; but a worker that is
/// killed within a run must not leave a dead letter.
pub(crate) const RETRY: RetryPolicy = RetryPolicy {
    max_attempts: 3,
    base: SECOND,
    cap: SECOND.saturating_mul(5),
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The schedule.
#[rustfmt::skip]
const SCHEDULE: [Entry; 18] = [
    //      interval                           condition              jobs
    Entry { every: SECOND.saturating_mul(5),   when: always,          jobs: |_, _| one(&Sweep {}) },
    Entry { every: SECOND.saturating_mul(5),   when: always,          jobs: |_, _| one(&SweepSocial {}) },
    Entry { every: SECOND.saturating_mul(30),  when: always,          jobs: |_, _| one(&ReconcileBans {}) },
    Entry { every: SECOND.saturating_mul(15),  when: always,          jobs: |_, _| one(&EndWindows {}) },
    Entry { every: MINUTE.saturating_mul(15),  when: compares_bills,  jobs: days_to_compare },
    Entry { every: MINUTE,                     when: audits_coins,    jobs: |_, _| one(&AuditCoins {}) },
    Entry { every: MINUTE.saturating_mul(30),  when: pulls_figures,   jobs: figures_to_pull },
    Entry { every: HOUR,                       when: always,          jobs: |_, _| one(&PruneAudit {}) },
    Entry { every: HOUR,                       when: always,          jobs: |_, _| one(&Retention {}) },
    Entry { every: HOUR,                       when: always,          jobs: |_, _| one(&PrunePushes {}) },
    Entry { every: HOUR,                       when: always,          jobs: |_, _| one(&PruneMessages {}) },
    Entry { every: HOUR,                       when: always,          jobs: |_, _| one(&EventRetention {}) },
    Entry { every: HOUR,                       when: always,          jobs: |_, _| one(&PruneBoards {}) },
    Entry { every: HOUR.saturating_mul(24),    when: always,          jobs: |_, _| one(&CheckBoards {}) },
    Entry { every: HOUR.saturating_mul(24),    when: always,          jobs: |_, _| one(&PullCheats {}) },
    Entry { every: SECOND.saturating_mul(5),   when: rewards_invites, jobs: |_, _| one(&SettleInvites {}) },
    Entry { every: MINUTE.saturating_mul(10),  when: counts_days,     jobs: |_, _| one(&ReachDays {}) },
    Entry { every: HOUR,                       when: always,          jobs: |_, _| one(&PruneShares {}) },
];

fn always(_: &Conditions) -> bool {
    true
}

fn compares_bills(conditions: &Conditions) -> bool {
    conditions.compares_bills
}

fn audits_coins(conditions: &Conditions) -> bool {
    conditions.audits_coins
}

fn pulls_figures(conditions: &Conditions) -> bool {
    !conditions.platform_stats.is_empty()
}

fn rewards_invites(conditions: &Conditions) -> bool {
    conditions.rewards_invites
}

fn counts_days(conditions: &Conditions) -> bool {
    conditions.counts_days
}

fn one<J: Job>(job: &J) -> Vec<NewJob> {
    vec![NewJob::from_job(job)]
}

/// WeChat's bill of a day is available at ten the next morning, Beijing time.
const BILL_HOUR: i8 = 10;
/// Number of past days whose bills are compared, in case the service was down.
const BILL_DAYS: i64 = 3;

/// Starts the schedule; dropping the set stops it.
pub(crate) fn start(queue: &Queue, conditions: &Conditions) -> JoinSet<()> {
    let run = |entry: Entry| {
        let (queue, conditions) = (queue.clone(), conditions.clone());
        async move {
            let mut ticks = ticks(entry.every);
            loop {
                ticks.tick().await;
                let jobs = (entry.jobs)(&conditions, Timestamp::now());
                if let Err(error) = queue.enqueue_all(jobs).await {
                    tracing::debug!(%error, "scheduled jobs could not be enqueued");
                }
            }
        }
    };
    let entries = SCHEDULE
        .into_iter()
        .filter(|entry| (entry.when)(conditions));
    entries.map(run).collect()
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Returns the days whose bills are available. The job of a day that was already compared does nothing.
fn days_to_compare(_: &Conditions, now: Timestamp) -> Vec<NewJob> {
    let today = beijing_day(now);
    let newest = if beijing_hour(now) >= BILL_HOUR { 1 } else { 2 };
    (newest..newest + BILL_DAYS)
        .filter_map(|ago| today.checked_sub(ago.days()).ok())
        .map(|day| NewJob::from_job(&Reconcile { day, again: false }))
        .collect()
}

/// Returns the figures that may have changed; the job skips those that are current.
fn figures_to_pull(conditions: &Conditions, now: Timestamp) -> Vec<NewJob> {
    let pulls = conditions.platform_stats.iter().flat_map(|dataset| {
        let days = stats::days_to_pull(dataset, now).into_iter();
        days.map(|day| PullPlatformStats {
            day,
            dataset: dataset.clone(),
        })
    });
    pulls.map(|pull| NewJob::from_job(&pull)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions() -> Conditions {
        Conditions {
            compares_bills: true,
            audits_coins: true,
            rewards_invites: true,
            counts_days: true,
            platform_stats: vec![Dataset::Summary],
        }
    }

    #[test]
    fn bill_is_compared_once_it_is_available() {
        let days = |at: &str| -> Vec<String> {
            let jobs = days_to_compare(&conditions(), at.parse().unwrap());
            jobs.iter()
                .map(|job| job.payload.get().to_owned())
                .collect()
        };
        // Nine and ten in the morning in Beijing.
        assert_eq!(days("2026-01-10T01:00:00Z")[0], r#"{"day":"2026-01-08"}"#);
        assert_eq!(days("2026-01-10T02:00:00Z")[0], r#"{"day":"2026-01-09"}"#);
        assert_eq!(days("2026-01-10T02:00:00Z").len(), 3);
    }

    #[test]
    fn idempotency_keys_expire_before_the_next_run() {
        for entry in SCHEDULE {
            let jobs = (entry.jobs)(&conditions(), "2026-01-10T12:00:00Z".parse().unwrap());
            assert!(!jobs.is_empty());
            for job in jobs {
                let key = job.idempotency.unwrap();
                assert!(
                    u128::from(key.ttl_ms) < entry.every.as_millis(),
                    "{}",
                    job.kind
                );
            }
        }
    }
}
