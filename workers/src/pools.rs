//! One pool per queue: which ones start, and how they stop together.

use std::sync::Arc;

use avalon_core::platform::stats::Dataset;
use avalon_queue::{Handlers, Pool, PoolSettings, Queue, QueueName};
use tokio::task::JoinSet;

use crate::schedule::{self, Conditions};

/// Which pools run, and how.
#[derive(Clone, Debug)]
pub struct PoolsSettings {
    /// Queues to serve; empty: all that have handlers.
    pub queues: Vec<QueueName>,
    /// Settings of each pool.
    pub pool: PoolSettings,
    /// Whether the schedule compares WeChat's bills with our orders.
    pub compares_bills: bool,
    /// Whether players' coins are compared with WeChat's sums.
    pub audits_coins: bool,
    /// Whether invitations are rewarded.
    pub rewards_invites: bool,
    /// Whether the milestone of invitations is a number of days.
    pub counts_days: bool,
    /// Datasets of WeChat's daily figures to fetch; may be empty.
    pub platform_stats: Vec<Dataset>,
}

/// The running pools of a process.
pub struct Pools {
    pools: Vec<Pool>,
    schedule: JoinSet<()>,
}

impl Pools {
    /// Starts a pool for each chosen queue that has handlers.
    pub fn start(jobs: &Queue, handlers: Handlers, settings: &PoolsSettings) -> Self {
        let handlers = Arc::new(handlers);
        let chosen =
            |queue: &&QueueName| settings.queues.is_empty() || settings.queues.contains(queue);
        for queue in settings
            .queues
            .iter()
            .filter(|queue| !handlers.queues().any(|q| q == *queue))
        {
            tracing::warn!(%queue, "no job kind of this version uses the queue; no pool is started");
        }
        let pools = handlers
            .queues()
            .filter(chosen)
            .map(|queue| {
                tracing::info!(%queue, concurrency = settings.pool.concurrency, "pool started");
                let store = Arc::clone(jobs.store());
                let (handlers, pool) = (Arc::clone(&handlers), settings.pool.clone());
                Pool::start(store, queue, handlers, pool, jobs.metrics().clone())
            })
            .collect();
        let conditions = Conditions {
            compares_bills: settings.compares_bills,
            audits_coins: settings.audits_coins,
            rewards_invites: settings.rewards_invites,
            counts_days: settings.counts_days,
            platform_stats: settings.platform_stats.clone(),
        };
        Self {
            pools,
            schedule: schedule::start(jobs, &conditions),
        }
    }

    /// Stops all pools at once, within the grace period of their settings.
    pub async fn stop(self) {
        drop(self.schedule);
        let mut stopping: JoinSet<()> = self.pools.into_iter().map(Pool::stop).collect();
        while stopping.join_next().await.is_some() {}
    }
}
