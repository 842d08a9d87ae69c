//! The apalis layer that acknowledges jobs: it passes each outcome to the settler, which settles all
//! pending outcomes in one call to the store and repeats the call until the store accepts it.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use apalis_core::error::BoxDynError;
use apalis_core::task::Task;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tower::{Layer, Service};

use crate::backend::Work;
use crate::in_flight::InFlight;
use crate::job::{millis, now_ms};
use crate::metrics::{Outcome, QueueMetrics};
use crate::store::{JobStore, Settle, Settled, Settlement};

const MAX_BATCH: usize = 256;

/// Handle of the task that settles outcomes.
#[derive(Clone)]
pub(crate) struct Settler {
    queue: mpsc::Sender<(Settlement, oneshot::Sender<()>)>,
}

impl Settler {
    /// Spawns the task; it ends when the last handle is dropped and everything is settled.
    pub(crate) fn spawn(
        store: Arc<dyn JobStore>,
        metrics: QueueMetrics,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, pending) = mpsc::channel(MAX_BATCH);
        (
            Self { queue },
            tokio::spawn(settle_all(store, metrics, pending)),
        )
    }

    async fn settle(&self, settlement: Settlement) {
        let (settled, done) = oneshot::channel();
        if self.queue.send((settlement, settled)).await.is_ok() {
            let _ = done.await;
        }
    }
}

async fn settle_all(
    store: Arc<dyn JobStore>,
    metrics: QueueMetrics,
    mut pending: mpsc::Receiver<(Settlement, oneshot::Sender<()>)>,
) {
    let mut received = Vec::with_capacity(MAX_BATCH);
    while pending.recv_many(&mut received, MAX_BATCH).await > 0 {
        let (batch, waiters): (Vec<_>, Vec<_>) = received.drain(..).unzip();
        let results = settle_with_retries(store.as_ref(), &batch).await;
        for (settlement, settled) in batch.iter().zip(results) {
            count(&metrics, settlement, settled);
        }
        for waiter in waiters {
            let _ = waiter.send(());
        }
    }
}

/// Never gives up: the work is done and must be recorded. The store makes repeats idempotent.
async fn settle_with_retries(store: &dyn JobStore, batch: &[Settlement]) -> Vec<Settled> {
    let mut wait = Duration::from_millis(20);
    loop {
        match store.settle(batch).await {
            Ok(results) => return results,
            Err(error) => {
                tracing::warn!(%error, jobs = batch.len(), "settling failed, will retry");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(2));
            }
        }
    }
}

fn count(metrics: &QueueMetrics, settlement: &Settlement, settled: Settled) {
    let job = &settlement.leased.job;
    let outcome = match (settled, &settlement.settle) {
        (Settled::LeaseLost, _) => Outcome::LeaseLost,
        (Settled::Done, Settle::Succeeded(_)) => Outcome::Succeeded,
        (Settled::Done, Settle::Rejected(_)) => Outcome::Rejected,
        (Settled::Done, Settle::Retry { .. }) => Outcome::Retried,
        (Settled::Done, Settle::Dead(_)) => Outcome::Dead,
        (Settled::Done, Settle::HandBack) => Outcome::HandedBack,
    };
    metrics.settled(&job.queue, &job.kind, outcome);
    if outcome.is_final() {
        let age = Duration::from_millis(now_ms().saturating_sub(job.enqueued_at));
        metrics.ended(&job.queue, &job.kind, age);
    }
    if settled == Settled::LeaseLost {
        tracing::warn!(
            job_id = %job.id, queue = %job.queue, attempt = settlement.leased.attempt,
            held_ms = millis(Duration::from_millis(now_ms().saturating_sub(settlement.leased.ready_at))),
            "lease lost before settling; the outcome of another worker counts"
        );
    }
}

/// Wraps the service that runs jobs in an [`AckService`].
#[derive(Clone)]
pub struct AckLayer {
    pub(crate) settler: Settler,
    pub(crate) in_flight: InFlight,
    pub(crate) metrics: QueueMetrics,
}

impl<S> Layer<S> for AckLayer {
    type Service = AckService<S>;

    fn layer(&self, inner: S) -> AckService<S> {
        AckService {
            inner,
            ack: self.clone(),
        }
    }
}

/// Runs a job by the inner service and settles the outcome.
#[derive(Clone)]
pub struct AckService<S> {
    inner: S,
    ack: AckLayer,
}

impl<S> Service<Task<Work>> for AckService<S>
where
    S: Service<Task<Work>, Response = Settle>,
    S::Error: Into<BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<(), BoxDynError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, task: Task<Work>) -> Self::Future {
        let (leased, permit) = (task.args.leased.clone(), Arc::clone(&task.args.permit));
        let held = self.ack.in_flight.hold(leased.lease.clone());
        let busy = self.ack.metrics.busy(&leased.job.queue);
        let running = self.inner.call(task);
        let settler = self.ack.settler.clone();
        Box::pin(async move {
            let settle = running.await.map_err(Into::into)?;
            settler.settle(Settlement { leased, settle }).await;
            // Frees the permit only now, so that the pool never holds more jobs than it can run.
            drop((held, busy, permit));
            Ok(())
        })
    }
}
