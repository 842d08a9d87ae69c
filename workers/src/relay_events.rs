//! Passes on our own events from the outbox to the queue: soon after they were written, and at
//! each sweep, for those whose process has died before it could.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::analytics::outbox;
use avalon_core::config::SinkName;
use avalon_core::database::Database;
use avalon_core::jobs::events::jobs_of;
use avalon_queue::{Enqueued, JobStore, QueueMetrics};
use jiff::Timestamp;
use tokio::sync::mpsc;

/// Events of one batch.
const BATCH: i64 = 200;
/// How long passing on may take; what is left then is for the next time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Wakes the task that passes events on. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Relay(mpsc::Sender<()>);

impl Relay {
    /// Starts the task; it ends with the last handle.
    pub(crate) fn spawn(
        database: Database,
        store: Arc<dyn JobStore>,
        sinks: Vec<SinkName>,
        metrics: QueueMetrics,
    ) -> Self {
        let (wake, mut woken) = mpsc::channel(1);
        tokio::spawn(async move {
            while woken.recv().await.is_some() {
                let passing = pass_on_all(&database, &*store, &sinks, &metrics);
                let passed = tokio::time::timeout(PATIENCE, passing).await;
                if let Err(error) = passed.unwrap_or_else(|_| Err("no answer".to_owned())) {
                    tracing::warn!(error, "events of our own wait in the outbox");
                }
            }
        });
        Self(wake)
    }

    /// There may be something to pass on. Waits for nothing.
    pub(crate) fn wake(&self) {
        // Full: it is about to look anyway.
        let _ = self.0.try_send(());
    }
}

async fn pass_on_all(
    database: &Database,
    store: &dyn JobStore,
    sinks: &[SinkName],
    metrics: &QueueMetrics,
) -> Result<(), String> {
    loop {
        let claimed = outbox::claim(database, Timestamp::now(), BATCH).await;
        let Some(batch) = claimed.map_err(|error| error.to_string())? else {
            return Ok(());
        };
        let jobs = jobs_of(batch.clone(), false, sinks).map_err(|error| error.to_string())?;
        let names: Vec<_> = jobs
            .iter()
            .map(|job| (job.queue.clone(), job.kind.clone()))
            .collect();
        let enqueued = store
            .enqueue(jobs)
            .await
            .map_err(|error| error.to_string())?;
        for (enqueued, (queue, kind)) in enqueued.iter().zip(names) {
            if let Enqueued::New(_) = enqueued {
                metrics.enqueued(&queue, &kind);
            }
        }
        let passed_on = outbox::passed_on(database, &batch).await;
        passed_on.map_err(|error| error.to_string())?;
    }
}
