//! The apalis [`Backend`] over any [`JobStore`]: a fetch loop per lane leases no more jobs than the
//! pool can run and passes them to the apalis worker, whose [`AckLayer`] settles them.

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
use crate::job::now_ms;
use crate::metrics::QueueMetrics;
use crate::store::{JobStore, Lane, Leased, StoreError};

/// A leased job with its place in the pool.
#[derive(Clone, Debug)]
pub struct Work {
    /// The job.
    pub leased: Leased,
    /// Held until the job is settled; then the pool may lease another one.
    pub(crate) permit: Arc<OwnedSemaphorePermit>,
}

/// Leased jobs as apalis wants them. It ends when its fetch loops have stopped and all they had
/// leased was passed on.
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
            // The end of the jobs is the end of the worker. Refused only before it has started.
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
    // Jobs are decoded by their handlers, who can tell a bad payload from a dead worker.
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

/// What a fetch loop needs.
pub(crate) struct Fetcher {
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) lane: Lane,
    pub(crate) consumer: String,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) block: Duration,
    pub(crate) jobs: mpsc::Sender<Task<Work>>,
    pub(crate) metrics: QueueMetrics,
}

impl Fetcher {
    /// Leases jobs as places become free, until told to stop. A store that is away is waited for.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut trouble = Trouble::default();
        while !stop.is_cancelled() {
            let Some(mut places) = self.free_places(&stop).await else {
                return;
            };
            // Not cancelled by `stop`: a lease that is under way may have jobs in it. It ends by
            // itself within `block`.
            match self
                .store
                .lease(&self.lane, &self.consumer, places.len(), self.block)
                .await
            {
                Ok(leased) => {
                    trouble.over(&self.lane);
                    for leased in leased {
                        self.metrics.leased(&leased, now_ms());
                        let Some(place) = places.pop() else { break };
                        if self.jobs.send(task(leased, place)).await.is_err() {
                            return;
                        }
                    }
                }
                Err(error) => {
                    let pause = trouble.pause(&self.lane, &error);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.cancelled() => {}
                    }
                }
            }
        }
    }

    /// All places that are free now, at least one; none when told to stop.
    async fn free_places(&self, stop: &CancellationToken) -> Option<Vec<OwnedSemaphorePermit>> {
        let first = tokio::select! {
            place = Arc::clone(&self.places).acquire_owned() => place.ok()?,
            () = stop.cancelled() => return None,
        };
        let mut places = vec![first];
        while let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            places.push(place);
        }
        Some(places)
    }
}

fn task(leased: Leased, place: OwnedSemaphorePermit) -> Task<Work> {
    let id = TaskId::from_string(leased.job.id.to_string());
    // apalis counts the attempt when the task is first polled.
    let attempts_before = leased.attempt.saturating_sub(1) as usize;
    let max_attempts = leased.job.max_attempts as usize;
    TaskBuilder::new(Work {
        leased,
        permit: Arc::new(place),
    })
    .task_id(id)
    .attempt(attempts_before)
    .max_attempts(max_attempts)
    .build()
}

/// A store that does not answer: told once at its beginning and once at its end.
#[derive(Default)]
struct Trouble {
    times: u32,
}

impl Trouble {
    fn pause(&mut self, lane: &Lane, error: &StoreError) -> Duration {
        if self.times == 0 {
            tracing::warn!(queue = %lane.queue, %error, "the worker waits for the store");
        }
        self.times += 1;
        let ceiling = 50u64.saturating_mul(1 << self.times.min(6));
        Duration::from_millis(fastrand::u64(10..=ceiling))
    }

    fn over(&mut self, lane: &Lane) {
        if std::mem::take(&mut self.times) > 0 {
            tracing::info!(queue = %lane.queue, "the store is back");
        }
    }
}
