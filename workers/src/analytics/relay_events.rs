//! Forwards the service's own events to the queue: those of this process from memory, soon after they were
//! written to the outbox, and in each sweep those that the outbox still has, such as those of processes that died.

use std::time::Duration;

use avalon_core::analytics::batch::{EventBatch, EventLine, Player};
use avalon_core::analytics::config::SinkName;
use avalon_core::analytics::outbox::{self, ServiceEvent};
use avalon_core::jobs::events::jobs_of;
use avalon_core::storage::database::{Database, Session};
use avalon_queue::Queue;
use jiff::Timestamp;
use tokio::sync::mpsc;

/// Maximum number of events per batch.
const BATCH: usize = 200;
/// Time in which events gather: nothing waits for them, and a batch costs more than an event in it.
const GATHERING: Duration = Duration::from_millis(50);
/// Events that wait in memory; of further ones the sweep takes care.
const MAX_WAITING: usize = 10_000;
/// Time limit of one run. The next run continues.
const RELAY_TIMEOUT: Duration = Duration::from_secs(30);

/// Passes events to the task that forwards them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Relay {
    wake: mpsc::Sender<()>,
    held: mpsc::Sender<(Player, EventLine)>,
}

impl Relay {
    /// Starts the task; it ends with the last handle.
    pub(crate) fn spawn(database: Database, queue: Queue, sinks: Vec<SinkName>) -> Self {
        let (wake, mut woken) = mpsc::channel(1);
        let (held, mut to_forward) = mpsc::channel(MAX_WAITING);
        let mut outbox = Outbox {
            session: database.session(),
            database,
            queue,
            sinks,
        };
        tokio::spawn(async move {
            let mut events = Vec::with_capacity(BATCH);
            loop {
                tokio::select! {
                    Some(()) = woken.recv() => {}
                    received = to_forward.recv_many(&mut events, BATCH) => {
                        if received == 0 {
                            return;
                        }
                        gather(&mut to_forward, &mut events).await;
                    }
                }
                let run = async {
                    match events.is_empty() {
                        true => outbox.forward_all().await,
                        false => outbox.forward_held(std::mem::take(&mut events)).await,
                    }
                };
                let forwarded = tokio::time::timeout(RELAY_TIMEOUT, run).await;
                if let Err(error) = forwarded.unwrap_or_else(|_| Err("timed out".to_owned())) {
                    tracing::warn!(error, "outbox relay failed, will retry");
                }
            }
        });
        Self { wake, held }
    }

    /// Forwards an event that this process holds in the outbox. Does not block.
    pub(crate) fn forward(&self, event: &ServiceEvent<'_>, at: Timestamp) {
        if let Ok(event) = event.line(at) {
            // Full: after half a minute the event is claimed like that of a process that died.
            let _ = self.held.try_send(event);
        }
    }

    /// Starts a run over the outbox. Does not block.
    pub(crate) fn wake(&self) {
        // Full: a run is due anyway.
        let _ = self.wake.try_send(());
    }
}

/// Waits for more events until the batch is full or it has taken long enough.
async fn gather<T>(waiting: &mut mpsc::Receiver<T>, batch: &mut Vec<T>) {
    let gathering = async {
        while batch.len() < BATCH {
            if waiting.recv_many(batch, BATCH - batch.len()).await == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(GATHERING, gathering).await;
}

struct Outbox {
    session: Session,
    database: Database,
    queue: Queue,
    sinks: Vec<SinkName>,
}

impl Outbox {
    async fn forward_held(&mut self, events: Vec<(Player, EventLine)>) -> Result<(), String> {
        self.forward(outbox::batch_of(Timestamp::now(), events))
            .await
    }

    async fn forward_all(&mut self) -> Result<(), String> {
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        loop {
            let claimed = outbox::claim(&self.database, Timestamp::now(), limit).await;
            let Some(batch) = claimed.map_err(|error| error.to_string())? else {
                return Ok(());
            };
            self.forward(batch).await?;
        }
    }

    async fn forward(&mut self, batch: EventBatch) -> Result<(), String> {
        let ids = batch.events.iter().filter_map(|event| event.id.clone());
        let ids: Vec<String> = ids.collect();
        self.queue
            .enqueue_all(jobs_of(batch, false, &self.sinks))
            .await
            .map_err(|error| error.to_string())?;
        let deleted = outbox::delete(&mut self.session, &ids).await;
        deleted.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn full_batch_does_not_wait_for_more() {
        let (send, mut waiting) = mpsc::channel(BATCH + 1);
        for event in 0..=BATCH {
            send.send(event).await.unwrap();
        }
        let mut batch = vec![waiting.recv().await.unwrap()];
        let gathered = gather(&mut waiting, &mut batch).now_or_never();
        assert_eq!((gathered, batch.len(), waiting.len()), (Some(()), BATCH, 1));
    }

    #[tokio::test]
    async fn events_that_arrive_soon_share_the_batch() {
        let (send, mut waiting) = mpsc::channel(BATCH);
        let mut batch = vec![0];
        let mut gathering = Box::pin(gather(&mut waiting, &mut batch));
        assert!(gathering.as_mut().now_or_never().is_none());
        send.send(1).await.unwrap();
        gathering.await;
        assert_eq!(batch, [0, 1]);
    }
}
