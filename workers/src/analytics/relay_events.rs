//! Forwards the service's own events from the outbox to the queue: soon after they were written, and at
//! each sweep for those whose process died before it could.

use std::time::Duration;

use avalon_core::analytics::config::SinkName;
use avalon_core::analytics::outbox;
use avalon_core::jobs::events::jobs_of;
use avalon_core::storage::database::Database;
use avalon_queue::Queue;
use jiff::Timestamp;
use tokio::sync::mpsc;

/// Events of one batch.
const BATCH: i64 = 200;
/// Time limit of one run; what is left waits for the next one.
const RELAY_TIMEOUT: Duration = Duration::from_secs(30);

/// Wakes the task that forwards events. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Relay {
    wake: mpsc::Sender<()>,
    release: mpsc::UnboundedSender<String>,
}

impl Relay {
    /// Starts the task; it ends with the last handle.
    pub(crate) fn spawn(database: Database, queue: Queue, sinks: Vec<SinkName>) -> Self {
        let (wake, mut woken) = mpsc::channel(1);
        let (release, mut to_release) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while woken.recv().await.is_some() {
                let mut released = Vec::new();
                while let Ok(id) = to_release.try_recv() {
                    released.push(id);
                }
                let forwarding = async {
                    if !released.is_empty() {
                        let done = outbox::release(&database, &released).await;
                        done.map_err(|error| error.to_string())?;
                    }
                    forward_all(&database, &queue, &sinks).await
                };
                let forwarded = tokio::time::timeout(RELAY_TIMEOUT, forwarding).await;
                if let Err(error) = forwarded.unwrap_or_else(|_| Err("timed out".to_owned())) {
                    tracing::warn!(error, "outbox relay failed, will retry");
                }
            }
        });
        Self { wake, release }
    }

    /// Releases an event that was held back. Does not block.
    pub(crate) fn release(&self, id: String) {
        // The task reads it before it ends with the last handle.
        let _ = self.release.send(id);
        self.wake();
    }

    /// Forwards what there is. Does not block.
    pub(crate) fn wake(&self) {
        // Full: a run is due anyway.
        let _ = self.wake.try_send(());
    }
}

async fn forward_all(database: &Database, queue: &Queue, sinks: &[SinkName]) -> Result<(), String> {
    loop {
        let claimed = outbox::claim(database, Timestamp::now(), BATCH).await;
        let Some(batch) = claimed.map_err(|error| error.to_string())? else {
            return Ok(());
        };
        queue
            .enqueue_all(jobs_of(batch.clone(), false, sinks))
            .await
            .map_err(|error| error.to_string())?;
        let passed_on = outbox::passed_on(database, &batch).await;
        passed_on.map_err(|error| error.to_string())?;
    }
}
