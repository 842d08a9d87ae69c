//! The apalis [`Backend`] over any [`JobStore`]: a fetch loop per lane leases no more jobs than the
//! pool can run and sends them to the apalis worker, whose [`AckLayer`] settles them.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use apalis_core::worker::context::WorkerContext;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::ack::AckLayer;
use crate::batches::Pace;
use crate::job::now_ms;
use crate::metrics::QueueMetrics;
use crate::store::{JobStore, Lane, Leased, StoreError};

/// A leased job with its permit of the pool.
#[derive(Clone, Debug)]
pub struct Work {
    /// The job.
    pub leased: Leased,
    /// Held until the job is settled; limits the number of jobs that the pool has leased.
    pub(crate) permit: Arc<OwnedSemaphorePermit>,
}

/// The stream of leased jobs. It ends when the fetch loops have stopped and every leased job was
/// delivered.
pub struct StoreBackend {
    jobs: mpsc::Receiver<Task<Work>>,
    ack: AckLayer,
}

impl StoreBackend {
    pub(crate) fn new(jobs: mpsc::Receiver<Task<Work>>, ack: AckLayer) -> Self {
        Self { jobs, ack }
    }
}

impl Backend for StoreBackend {
    type Task = Task<Work>;
    type Error = StoreError;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), StoreError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Task<Work>, StoreError>>> {
        let next = std::task::ready!(self.jobs.poll_recv(context));
        if next.is_none() {
            // No job follows, so the worker ends. This fails only before the worker has started.
            let _ = worker.stop();
        }
        Poll::Ready(next.map(Ok))
    }

    fn poll_close(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), StoreError>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for StoreBackend {
    type Args = Work;
    type Id = String;
    // Handlers decode payloads, so that one that cannot be decoded does not end the worker.
    type Kind = Ephemeral;
    type Config = ();
    type Layer = AckLayer;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> AckLayer {
        self.ack.clone()
    }
}

/// The fetch loop of one lane.
pub(crate) struct Fetcher {
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) lane: Lane,
    pub(crate) consumer: String,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) block: Duration,
    pub(crate) jobs: mpsc::Sender<Task<Work>>,
    pub(crate) metrics: QueueMetrics,
}

impl Fetcher {
    /// Leases jobs as permits become free, until stopped. Retries while the store is unavailable.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut outage = Outage::default();
        while !stop.is_cancelled() {
            let Some(mut permits) = self.free_permits(&stop).await else {
                return;
            };
            let free = permits.len();
            // Not cancelled by `stop`: the response may already contain jobs. It returns within
            // `block` anyway.
            match self
                .store
                .lease(&self.lane, &self.consumer, free, self.block)
                .await
            {
                Ok(leased) => {
                    outage.ended(&self.lane);
                    let pause = pause_after(leased.len(), free).map(tokio::time::sleep);
                    for leased in leased {
                        self.metrics.leased(&leased, now_ms());
                        let Some(permit) = permits.pop() else { break };
                        if self.jobs.send(task(leased, permit)).await.is_err() {
                            return;
                        }
                    }
                    // Others may need them meanwhile.
                    drop(permits);
                    if let Some(pause) = pause {
                        tokio::select! {
                            () = pause => {}
                            () = stop.cancelled() => {}
                        }
                    }
                }
                Err(error) => {
                    let pause = outage.pause(&self.lane, &error);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.cancelled() => {}
                    }
                }
            }
        }
    }

    /// Acquires all free permits, waiting for the first one; none if stopped.
    async fn free_permits(&self, stop: &CancellationToken) -> Option<Vec<OwnedSemaphorePermit>> {
        let first = tokio::select! {
            permit = Arc::clone(&self.permits).acquire_owned() => permit.ok()?,
            () = stop.cancelled() => return None,
        };
        let mut permits = vec![first];
        while let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            permits.push(permit);
        }
        Some(permits)
    }
}

/// The pause after a lease, if jobs arrive faster than one by one and unless there is a backlog: what is leased
/// together is stored together, too, which costs less.
fn pause_after(leased: usize, free: usize) -> Option<Duration> {
    (2..free).contains(&leased).then(|| Pace::Jobs.time())
}

fn task(leased: Leased, permit: OwnedSemaphorePermit) -> Task<Work> {
    let id = TaskId::from_string(leased.job.id.to_string());
    // apalis counts the attempt when the task is first polled.
    let attempts_before = leased.attempt.saturating_sub(1) as usize;
    let max_attempts = leased.job.max_attempts as usize;
    TaskBuilder::new(Work {
        leased,
        permit: Arc::new(permit),
    })
    .task_id(id)
    .attempt(attempts_before)
    .max_attempts(max_attempts)
    .build()
}

/// Backs off while the store is unavailable, and logs once when that begins and once when it ends.
#[derive(Default)]
struct Outage {
    failures: u32,
}

impl Outage {
    fn pause(&mut self, lane: &Lane, error: &StoreError) -> Duration {
        if self.failures == 0 {
            tracing::warn!(queue = %lane.queue, %error, "leasing failed, will retry");
        }
        self.failures += 1;
        let ceiling = 50u64.saturating_mul(1 << self.failures.min(6));
        Duration::from_millis(fastrand::u64(10..=ceiling))
    }

    fn ended(&mut self, lane: &Lane) {
        if std::mem::take(&mut self.failures) > 0 {
            tracing::info!(queue = %lane.queue, "the store is available again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_jobs_that_arrive_together_are_waited_for() {
        assert_eq!(pause_after(0, 64), None);
        assert_eq!(pause_after(1, 64), None, "a lone job");
        assert_eq!(pause_after(2, 64), Some(Pace::Jobs.time()));
        assert_eq!(pause_after(63, 64), Some(Pace::Jobs.time()));
        assert_eq!(pause_after(64, 64), None, "a backlog");
        assert_eq!(pause_after(1, 1), None, "a full pool");
    }
}
