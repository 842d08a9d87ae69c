//! A queue whose `enqueue` sometimes fails, before or after the job was stored. Everything else is
//! delegated to the engine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use avalon_queue::store::{Lease, ReclaimPolicy};
use avalon_queue::{
    Consumer, Enqueued, JobFilter, JobId, JobStore, JobView, Lane, Leased, NewJob, Page, QueueName,
    QueueStats, Reclaimed, Settled, Settlement, StoreError, Waiters,
};

pub(crate) struct FlakyStore {
    engine: Arc<dyn JobStore>,
    flaky: AtomicBool,
    rng: Mutex<fastrand::Rng>,
}

impl FlakyStore {
    pub(crate) fn over(engine: Arc<dyn JobStore>) -> Self {
        Self {
            engine,
            flaky: AtomicBool::new(false),
            rng: Mutex::new(fastrand::Rng::with_seed(0)),
        }
    }

    /// Makes half of the following `enqueue` calls fail, or none.
    pub(crate) fn set_flaky(&self, flaky: bool) {
        self.flaky.store(flaky, Ordering::Relaxed);
    }
}

#[async_trait::async_trait]
impl JobStore for FlakyStore {
    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>, StoreError> {
        let outcome = match self.flaky.load(Ordering::Relaxed) {
            true => self.rng.lock().unwrap().u8(0..4),
            false => 2,
        };
        let unavailable = || StoreError::Unavailable("injected".to_owned());
        match outcome {
            0 => Err(unavailable()),
            1 => self.engine.enqueue(jobs).await.and(Err(unavailable())),
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
