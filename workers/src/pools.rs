//! One pool per queue: which are started, and how they are stopped together.

use std::sync::Arc;

use avalon_core::platform::stats::Dataset;
use avalon_queue::{Handlers, JobStore, Pool, PoolSettings, QueueMetrics, QueueName};
use tokio::task::{AbortHandle, JoinSet};

use crate::schedule;

/// Which pools, and how each works.
#[derive(Clone, Debug)]
pub struct PoolsSettings {
    /// These queues only; empty: all that have handlers.
    pub queues: Vec<QueueName>,
    /// How each pool works.
    pub pool: PoolSettings,
    /// Whether the clock has WeChat's bills compared with our orders.
    pub compares_bills: bool,
    /// WeChat's own figures that are asked for each day; none: they are not.
    pub platform_stats: Vec<Dataset>,
}

/// The running pools of a process.
pub struct Pools {
    pools: Vec<Pool>,
    clock: AbortHandle,
}

impl Pools {
    /// Starts a pool for each chosen queue that has handlers.
    pub fn start(
        store: &Arc<dyn JobStore>,
        handlers: Handlers,
        settings: &PoolsSettings,
        metrics: &QueueMetrics,
    ) -> Self {
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
                let store = Arc::clone(store);
                let (handlers, pool) = (Arc::clone(&handlers), settings.pool.clone());
                Pool::start(store, queue, handlers, pool, metrics.clone())
            })
            .collect();
        Self {
            pools,
            clock: schedule::start(
                Arc::clone(store),
                metrics.clone(),
                settings.compares_bills,
                settings.platform_stats.clone(),
            ),
        }
    }

    /// Stops all of them at once, within the grace of their settings.
    pub async fn stop(self) {
        self.clock.abort();
        let mut stopping: JoinSet<()> = self.pools.into_iter().map(Pool::stop).collect();
        while stopping.join_next().await.is_some() {}
    }
}
