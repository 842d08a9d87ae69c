//! A queue that is now and then away, before or after it has taken a job. All else is the engine's.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use avalon_queue::store::{Lease, ReclaimPolicy};
use avalon_queue::{
    Consumer, Enqueued, JobFilter, JobId, JobStore, JobView, Lane, Leased, NewJob, Page, QueueName,
    QueueStats, Reclaimed, Settled, Settlement, StoreError, Waiters,
};

pub(crate) struct PatchyStore {
    engine: Arc<dyn JobStore>,
    patchy: AtomicBool,
    dice: Mutex<fastrand::Rng>,
}

impl PatchyStore {
    pub(crate) fn over(engine: Arc<dyn JobStore>) -> Self {
        Self {
            engine,
            patchy: AtomicBool::new(false),
            dice: Mutex::new(fastrand::Rng::with_seed(0)),
        }
    }

    /// Whether half of what is enqueued from now on fails.
    pub(crate) fn patchy(&self, patchy: bool) {
        self.patchy.store(patchy, Ordering::Relaxed);
    }
}

#[async_trait::async_trait]
impl JobStore for PatchyStore {
    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>, StoreError> {
        let thrown = match self.patchy.load(Ordering::Relaxed) {
            true => self.dice.lock().unwrap().u8(0..4),
            false => 2,
        };
        let away = || StoreError::Unavailable("away".to_owned());
        match thrown {
            0 => Err(away()),
            1 => self.engine.enqueue(jobs).await.and(Err(away())),
            _ => self.engine.enqueue(jobs).await,
        }
    }

    async fn consumers(&self) -> Result<Vec<Consumer>, StoreError> {
        self.engine.consumers().await
    }

    fn lanes(&self, queue: &QueueName) -> Vec<Lane> {
        self.engine.lanes(queue)
    }

    async fn lease(
        &self,
        lane: &Lane,
        consumer: &str,
        max: usize,
        block: Duration,
    ) -> Result<Vec<Leased>, StoreError> {
        self.engine.lease(lane, consumer, max, block).await
    }

    async fn extend(&self, consumer: &str, leases: &[Lease]) -> Result<Vec<bool>, StoreError> {
        self.engine.extend(consumer, leases).await
    }

    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        self.engine.settle(batch).await
    }

    async fn reclaim(&self, lane: &Lane, policy: &ReclaimPolicy) -> Result<Reclaimed, StoreError> {
        self.engine.reclaim(lane, policy).await
    }

    async fn retire(&self, lane: &Lane, consumer: &str) -> Result<(), StoreError> {
        self.engine.retire(lane, consumer).await
    }

    async fn get(&self, id: JobId) -> Result<Option<JobView>, StoreError> {
        self.engine.get(id).await
    }

    fn waiters(&self) -> &Waiters {
        self.engine.waiters()
    }

    async fn stats(&self) -> Result<Vec<QueueStats>, StoreError> {
        self.engine.stats().await
    }

    async fn list(&self, filter: &JobFilter) -> Result<Page, StoreError> {
        self.engine.list(filter).await
    }

    async fn replay(&self, id: JobId) -> Result<bool, StoreError> {
        self.engine.replay(id).await
    }

    async fn purge(&self, id: JobId) -> Result<bool, StoreError> {
        self.engine.purge(id).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.engine.ping().await
    }
}
