//! The registry of tasks in this process that wait for jobs. Engines notify it of every change and,
//! for awaited jobs, of the outcome; requests wait on tickets. A ticket that is woken without an
//! outcome must read the job from the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::value::RawValue;
use tokio::sync::{broadcast, watch};

use crate::job::{Failure, JobId};
use crate::store::JobState;

type Registry = HashMap<JobId, watch::Sender<Option<Arc<Ended>>>>;

/// The outcome of a job.
#[derive(Debug)]
pub struct Ended {
    /// Final state: succeeded, rejected or dead.
    pub state: JobState,
    /// Result of a job that succeeded.
    pub result: Option<Box<RawValue>>,
    /// Error of a job that did not succeed.
    pub error: Option<Failure>,
}

/// The waiting requests, by job. Clones share the registry.
#[derive(Clone, Debug)]
pub struct Waiters {
    registry: Arc<Mutex<Registry>>,
    /// For subscribers to all jobs; usually there are none.
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
    /// Starts watching a job. No later change is missed.
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

    /// Subscribes to the changes of all jobs. A slow receiver misses some.
    pub fn watch_all(&self) -> broadcast::Receiver<JobId> {
        self.all.subscribe()
    }

    /// Wakes the waiters of this job.
    pub(crate) fn wake(&self, id: JobId) {
        // Fails if there are no subscribers.
        let _ = self.all.send(id);
        if let Some(sender) = self.lock().get(&id) {
            sender.send_modify(|_| {});
        }
    }

    /// Wakes the waiters of this job with its outcome.
    pub(crate) fn ended(&self, id: JobId, ended: Ended) {
        let _ = self.all.send(id);
        if let Some(sender) = self.lock().get(&id) {
            sender.send_replace(Some(Arc::new(ended)));
        }
    }

    /// Wakes all waiters, so that they read their jobs again: notifications were lost with a
    /// connection.
    pub(crate) fn wake_all(&self) {
        for sender in self.lock().values() {
            sender.send_modify(|_| {});
        }
    }

    /// Number of jobs with waiters.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no job has a waiter.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A subscription to the changes of one job.
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

    /// The outcome, if the notification carried it; otherwise read the job from the store.
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
    async fn change_before_the_wait_is_not_missed() {
        let waiters = Waiters::default();
        let id = JobId::generate();
        let mut ticket = waiters.register(id);
        waiters.wake(id);
        ticket.changed().await;
    }

    #[tokio::test]
    async fn dropping_the_last_ticket_removes_the_entry() {
        let waiters = Waiters::default();
        let id = JobId::generate();
        let (first, second) = (waiters.register(id), waiters.register(id));
        drop(first);
        assert_eq!(waiters.len(), 1);
        drop(second);
        assert!(waiters.is_empty());
    }
}
