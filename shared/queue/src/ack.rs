//! The apalis layer that answers jobs: it hands each fate to the settler, which settles all that is
//! waiting in one call to the store, again and again until the store takes it.

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
use crate::metrics::QueueMetrics;
use crate::store::{JobStore, Settle, Settled, Settlement};

const MOST_PER_BATCH: usize = 256;

/// Where answers go.
#[derive(Clone)]
pub(crate) struct Settler {
    queue: mpsc::Sender<(Settlement, oneshot::Sender<()>)>,
}

impl Settler {
    /// Starts the task that settles; it ends when the last handle is dropped and all is settled.
    pub(crate) fn spawn(
        store: Arc<dyn JobStore>,
        metrics: QueueMetrics,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(MOST_PER_BATCH);
        (
            Self { queue },
            tokio::spawn(settle_all(store, metrics, waiting)),
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
    mut waiting: mpsc::Receiver<(Settlement, oneshot::Sender<()>)>,
) {
    let mut received = Vec::with_capacity(MOST_PER_BATCH);
    while waiting.recv_many(&mut received, MOST_PER_BATCH).await > 0 {
        let (batch, waiters): (Vec<_>, Vec<_>) = received.drain(..).unzip();
        let answers = until_settled(store.as_ref(), &batch).await;
        for (settlement, answer) in batch.iter().zip(answers) {
            count(&metrics, settlement, answer);
        }
        for waiter in waiters {
            let _ = waiter.send(());
        }
    }
}

/// The work is done and must be told: no giving up. Repeating is harmless, the store sees to it.
async fn until_settled(store: &dyn JobStore, batch: &[Settlement]) -> Vec<Settled> {
    let mut wait = Duration::from_millis(20);
    loop {
        match store.settle(batch).await {
            Ok(answers) => return answers,
            Err(error) => {
                tracing::warn!(%error, jobs = batch.len(), "answers wait for the store");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(2));
            }
        }
    }
}

fn count(metrics: &QueueMetrics, settlement: &Settlement, answer: Settled) {
    let job = &settlement.leased.job;
    let outcome = match (answer, &settlement.settle) {
        (Settled::LeaseLost, _) => "lease_lost",
        (Settled::Done, Settle::Succeeded(_)) => "succeeded",
        (Settled::Done, Settle::Rejected(_)) => "rejected",
        (Settled::Done, Settle::Retry { .. }) => "retried",
        (Settled::Done, Settle::Dead(_)) => "dead",
        (Settled::Done, Settle::HandBack) => "handed_back",
    };
    metrics.settled(&job.queue, &job.kind, outcome);
    if matches!(outcome, "succeeded" | "rejected" | "dead") {
        let life = Duration::from_millis(now_ms().saturating_sub(job.enqueued_at));
        metrics.ended(&job.queue, &job.kind, life);
    }
    if answer == Settled::LeaseLost {
        tracing::warn!(
            job_id = %job.id, queue = %job.queue, attempt = settlement.leased.attempt,
            held_ms = millis(Duration::from_millis(now_ms().saturating_sub(settlement.leased.ready_at))),
            "the lease was lost before the answer; another worker's answer counts"
        );
    }
}

/// Puts [`AckService`] around the service that runs jobs.
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

/// Runs a job by the inner service and settles what it says.
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
            // Only now may the pool lease another job in its place.
            drop((held, busy, permit));
            Ok(())
        })
    }
}
