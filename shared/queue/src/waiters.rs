//! Who waits in this process for which job. Engines tell it what changed, and of jobs that are
//! awaited how they ended; requests wait on tickets. Whoever is only woken looks for itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::value::RawValue;
use tokio::sync::{broadcast, watch};

use crate::job::{Failure, JobId};
use crate::store::JobState;

type Registry = HashMap<JobId, watch::Sender<Option<Arc<Ended>>>>;

/// How a job ended.
#[derive(Debug)]
pub struct Ended {
    /// Succeeded, rejected or dead.
    pub state: JobState,
    /// The result, when it succeeded.
    pub result: Option<Box<RawValue>>,
    /// The error, when it did not.
    pub error: Option<Failure>,
}

/// The requests that wait for jobs, by job.
#[derive(Clone, Debug)]
pub struct Waiters {
    registry: Arc<Mutex<Registry>>,
    /// For those who look at all jobs; most of the time nobody does.
    all: broadcast::Sender<JobId>,
}

impl Default for Waiters {
    fn default() -> Self {
        Self {
            registry: Arc::default(),
            all: broadcast::Sender::new(256),
        }
    }
}

impl Waiters {
    /// Begins to watch a job. What changes from now on is not missed.
    pub fn register(&self, id: JobId) -> Ticket {
        let receiver = self
            .lock()
            .entry(id)
            .or_insert_with(|| watch::Sender::new(None))
            .subscribe();
        Ticket {
            id,
            receiver,
            waiters: self.clone(),
        }
    }

    /// Hears of every job that changes from now on. Who is slow misses some.
    pub fn watch_all(&self) -> broadcast::Receiver<JobId> {
        self.all.subscribe()
    }

    /// Wakes those who wait for this job.
    pub(crate) fn wake(&self, id: JobId) {
        // Refused when nobody listens.
        let _ = self.all.send(id);
        if let Some(sender) = self.lock().get(&id) {
            sender.send_modify(|_| {});
        }
    }

    /// Wakes those who wait for this job, and tells them how it ended.
    pub(crate) fn ended(&self, id: JobId, ended: Ended) {
        let _ = self.all.send(id);
        if let Some(sender) = self.lock().get(&id) {
            sender.send_replace(Some(Arc::new(ended)));
        }
    }

    /// Wakes everybody: notices may have been lost (the connection broke), so all look again.
    pub(crate) fn wake_all(&self) {
        for sender in self.lock().values() {
            sender.send_modify(|_| {});
        }
    }

    /// How many jobs are waited for.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the line for one job.
#[derive(Debug)]
pub struct Ticket {
    id: JobId,
    receiver: watch::Receiver<Option<Arc<Ended>>>,
    waiters: Waiters,
}

impl Ticket {
    /// Returns when the job has changed since the last call, or since registration.
    pub async fn changed(&mut self) {
        // The sender lives in the registry for as long as a ticket does.
        let _ = self.receiver.changed().await;
    }

    /// How the job ended, when that was told; else it must be looked up.
    pub fn ended(&self) -> Option<Arc<Ended>> {
        self.receiver.borrow().clone()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut registry = self.waiters.lock();
        // This ticket still counts as a receiver here.
        if registry
            .get(&self.id)
            .is_some_and(|sender| sender.receiver_count() <= 1)
        {
            registry.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_before_the_wait_is_not_missed() {
        let waiters = Waiters::default();
        let id = JobId::generate();
        let mut ticket = waiters.register(id);
        waiters.wake(id);
        ticket.changed().await;
    }

    #[tokio::test]
    async fn the_last_ticket_of_a_job_leaves_nothing_behind() {
        let waiters = Waiters::default();
        let id = JobId::generate();
        let (first, second) = (waiters.register(id), waiters.register(id));
        drop(first);
        assert_eq!(waiters.len(), 1);
        drop(second);
        assert!(waiters.is_empty());
    }
}
