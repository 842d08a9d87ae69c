//! Enqueues jobs: those of concurrent callers in one call of the script per lane.

use std::sync::OnceLock;

use super::lanes::LaneKeys;
use super::{BATCH, RedisSettings, fnv1a, listeners, scripts};
use crate::batches::{BatchWorker, Batches, Pace};
use crate::job::NewJob;
use crate::redis_endpoint::RedisEndpoint;
use crate::store::{Enqueued, Lane, StoreError};

/// Calls at a time.
const WORKERS: usize = 2;

/// Enqueues jobs into their lanes.
pub(super) struct Enqueuer {
    lanes: Lanes,
    /// Started by the first caller, since it needs a runtime.
    batches: OnceLock<Batches<NewJob, Result<Enqueued, StoreError>>>,
}

impl Enqueuer {
    pub(super) fn new(endpoint: RedisEndpoint, settings: RedisSettings) -> Self {
        Self {
            lanes: Lanes { endpoint, settings },
            batches: OnceLock::new(),
        }
    }

    /// The results are in the order of the jobs.
    pub(super) async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>, StoreError> {
        if let [job] = jobs.as_slice() {
            let workers = || (0..WORKERS).map(|_| self.lanes.clone());
            let batches = self
                .batches
                .get_or_init(|| Batches::spawn(BATCH, Pace::Immediate, workers()));
            match batches.execute(job.clone()).await {
                Ok(Ok(enqueued)) => return Ok(vec![enqueued]),
                // Once more would only double the caller's wait.
                Ok(Err(error @ StoreError::Unavailable(_))) => return Err(error),
                // The error of another job, perhaps.
                Ok(Err(StoreError::Unexpected(_))) | Err(_) => {}
            }
        }
        self.lanes.enqueue(&jobs).await
    }
}

#[derive(Clone)]
struct Lanes {
    endpoint: RedisEndpoint,
    settings: RedisSettings,
}

impl Lanes {
    /// Jobs with the same idempotency key must share a lane; others are distributed by their ids.
    fn of(&self, job: &NewJob) -> Lane {
        let shards = u64::from(self.settings.shards.max(1));
        let hash = job
            .idempotency
            .as_ref()
            .map_or_else(|| job.id.random_bits(), |key| fnv1a(&key.key));
        Lane {
            queue: job.queue.clone(),
            shard: u16::try_from(hash % shards).unwrap_or(0),
        }
    }

    /// Consecutive jobs of one lane share a call; the order is preserved.
    async fn enqueue(&self, jobs: &[NewJob]) -> Result<Vec<Enqueued>, StoreError> {
        let due = listeners::due_channel(&self.settings.prefix);
        let mut results = Vec::with_capacity(jobs.len());
        let mut rest = jobs;
        while let Some(first) = rest.first() {
            let lane = self.of(first);
            let same = rest
                .iter()
                .take(BATCH)
                .take_while(|job| self.of(job) == lane);
            let (batch, others) = rest.split_at(same.count());
            let keys = LaneKeys::new(&self.settings.prefix, &lane);
            let mut link = self.endpoint.shared();
            results.extend(scripts::enqueue(&mut link, &keys, &due, batch).await?);
            rest = others;
        }
        Ok(results)
    }
}

impl BatchWorker for Lanes {
    type Request = NewJob;
    type Response = Result<Enqueued, StoreError>;

    async fn execute(&mut self, jobs: Vec<NewJob>) -> Option<Vec<Self::Response>> {
        let lane = |job: &NewJob| {
            let lane = self.of(job);
            (lane.queue.to_string(), lane.shard)
        };
        // The jobs of different callers have no order among each other.
        let mut order: Vec<usize> = (0..jobs.len()).collect();
        order.sort_by_cached_key(|&index| lane(&jobs[index]));
        let sorted: Vec<NewJob> = order.iter().map(|&index| jobs[index].clone()).collect();
        let enqueued = match self.enqueue(&sorted).await {
            Ok(enqueued) => enqueued,
            Err(error) => return Some(jobs.iter().map(|_| Err(error.clone())).collect()),
        };
        let mut results: Vec<_> = order.into_iter().zip(enqueued).collect();
        results.sort_unstable_by_key(|(index, _)| *index);
        Some(
            results
                .into_iter()
                .map(|(_, enqueued)| Ok(enqueued))
                .collect(),
        )
    }
}
