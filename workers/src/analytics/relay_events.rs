//! Passes on our own events from the outbox to the queue: soon after they were written, and at
//! each sweep, for those whose process has died before it could.

use std::sync::Arc;
use std::time::Duration;

use avalon_core::analytics::config::SinkName;
use avalon_core::analytics::outbox;
use avalon_core::jobs::events::jobs_of;
use avalon_core::storage::database::Database;
use avalon_queue::{JobStore, QueueMetrics};
use jiff::Timestamp;
use tokio::sync::mpsc;

/// Events of one batch.
const BATCH: i64 = 200;
/// How long passing on may take; what is left then is for the next time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Wakes the task that passes events on. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Relay {
    wake: mpsc::Sender<()>,
    release: mpsc::UnboundedSender<String>,
}

impl Relay {
    /// Starts the task; it ends with the last handle.
    pub(crate) fn spawn(
        database: Database,
        store: Arc<dyn JobStore>,
        sinks: Vec<SinkName>,
        metrics: QueueMetrics,
    ) -> Self {
        let (wake, mut woken) = mpsc::channel(1);
        let (release, mut to_release) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while woken.recv().await.is_some() {
                let mut released = Vec::new();
                while let Ok(id) = to_release.try_recv() {
                    released.push(id);
                }
                let passing = async {
                    if !released.is_empty() {
                        let done = outbox::release(&database, &released).await;
                        done.map_err(|error| error.to_string())?;
                    }
                    pass_on_all(&database, &*store, &sinks, &metrics).await
                };
                let passed = tokio::time::timeout(PATIENCE, passing).await;
                if let Err(error) = passed.unwrap_or_else(|_| Err("no answer".to_owned())) {
                    tracing::warn!(error, "events of our own wait in the outbox");
                }
            }
        });
        Self { wake, release }
    }

    /// An event that was kept back may be passed on. Waits for nothing.
    pub(crate) fn release(&self, id: String) {
        // It is read before the task ends, with the last of these.
        let _ = self.release.send(id);
        self.wake();
    }

    /// There may be something to pass on. Waits for nothing.
    pub(crate) fn wake(&self) {
        // Full: it is about to look anyway.
        let _ = self.wake.try_send(());
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
        metrics.enqueued_of(&enqueued, &names);
        let passed_on = outbox::passed_on(database, &batch).await;
        passed_on.map_err(|error| error.to_string())?;
    }
}
