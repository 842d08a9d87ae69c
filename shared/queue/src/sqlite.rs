//! The embedded engine, for `avalon dev` and `avalon all`: API and workers in one process, one
//! SQLite file, notifications inside the process. Other processes may read the file and replay or
//! purge dead letters (`avalon jobs`); running jobs in several processes requires Redis.
//!
//! Every change goes through the single writer (`writer`), which commits all pending changes in one
//! transaction, so that one `fsync` serves many jobs. `changes` holds the statements that write,
//! `reads` those that do not.

mod changes;
mod reads;
mod writer;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::watch;

use crate::job::{JobId, NewJob, QueueName, now_ms};
use crate::store::{
    Consumer, Enqueued, JobFilter, JobState, JobStore, JobView, Lane, Lease, Leased, Page,
    QueueStats, ReclaimPolicy, Reclaimed, Settle, Settled, Settlement, StoreError,
};
use crate::waiters::{Ended, Waiters};

use writer::Writer;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
                Self::Unexpected(error.to_string())
            }
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// The embedded engine. Cheap to clone.
#[derive(Clone)]
pub struct Sqlite {
    writer: Writer,
    readers: SqlitePool,
    queues: Arc<[QueueName]>,
    waiters: Waiters,
    signals: Arc<Signals>,
    consumers: Arc<Consumers>,
}

/// Time of each consumer's last request.
#[derive(Default)]
struct Consumers(Mutex<HashMap<(QueueName, String), Instant>>);

impl Consumers {
    fn seen(&self, queue: &QueueName, name: &str) {
        self.lock()
            .insert((queue.clone(), name.to_owned()), Instant::now());
    }

    fn forget(&self, queue: &QueueName, name: &str) {
        self.lock().remove(&(queue.clone(), name.to_owned()));
    }

    fn all(&self) -> Vec<Consumer> {
        let consumer = |((queue, name), seen): (&(QueueName, String), &Instant)| Consumer {
            queue: queue.clone(),
            name: name.clone(),
            silent: seen.elapsed(),
        };
        self.lock().iter().map(consumer).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(QueueName, String), Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One signal per queue, sent when a job becomes ready or the earliest due time may have changed.
#[derive(Default)]
struct Signals(Mutex<HashMap<QueueName, watch::Sender<()>>>);

impl Signals {
    fn subscribe(&self, queue: &QueueName) -> watch::Receiver<()> {
        let mut signals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        signals
            .entry(queue.clone())
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe()
    }

    fn send(&self, queue: &QueueName) {
        if let Some(signal) = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(queue)
        {
            signal.send_replace(());
        }
    }
}

impl Sqlite {
    /// Opens the file, and creates it with its tables if it does not exist.
    ///
    /// # Errors
    /// If the file cannot be opened or was written by a newer version.
    pub async fn open(path: &Path, queues: Vec<QueueName>) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An accepted job must survive a power failure.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5));
        let writing = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await?;
        changes::prepare(&writing).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await?;
        Ok(Self {
            writer: Writer::spawn(writing),
            readers,
            queues: queues.into(),
            waiters: Waiters::default(),
            signals: Arc::default(),
            consumers: Arc::default(),
        })
    }
}

/// Notifies the waiters of a settled job, and the workers if it is ready again.
fn notify(waiters: &Waiters, signals: &Signals, settlement: &Settlement, settled: Settled) {
    let job = &settlement.leased.job;
    let ended = |state, result, error| {
        let ended = Ended {
            state,
            result,
            error,
        };
        waiters.ended(job.id, ended);
    };
    match (&settlement.settle, settled) {
        (_, Settled::LeaseLost) => waiters.wake(job.id),
        (Settle::Succeeded(result), _) => {
            ended(JobState::Succeeded, Some(result.clone()), None);
        }
        (Settle::Rejected(failure), _) => ended(JobState::Rejected, None, Some(failure.clone())),
        (Settle::Dead(failure), _) => ended(JobState::Dead, None, Some(failure.clone())),
        (Settle::Retry { .. } | Settle::HandBack, _) => {
            waiters.wake(job.id);
            signals.send(&job.queue);
        }
    }
}

/// Serialises the envelopes.
fn with_bodies(jobs: Vec<NewJob>) -> Result<Vec<(NewJob, String)>, StoreError> {
    let with_body = |job| match serde_json::to_string(&job) {
        Ok(body) => Ok((job, body)),
        Err(error) => Err(StoreError::Unexpected(error.to_string())),
    };
    jobs.into_iter().map(with_body).collect()
}

#[async_trait]
impl JobStore for Sqlite {
    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>, StoreError> {
        // Before the shared transaction: a job that cannot be serialised must not roll it back.
        let jobs = with_bodies(jobs)?;
        let signals = Arc::clone(&self.signals);
        let mut queues: Vec<QueueName> = jobs.iter().map(|(job, _)| job.queue.clone()).collect();
        queues.dedup();
        self.writer
            .write(
                move |connection| Box::pin(changes::enqueue(connection, jobs)),
                move |_| queues.iter().for_each(|queue| signals.send(queue)),
            )
            .await
    }

    fn lanes(&self, queue: &QueueName) -> Vec<Lane> {
        vec![Lane {
            queue: queue.clone(),
            shard: 0,
        }]
    }

    async fn lease(
        &self,
        lane: &Lane,
        consumer: &str,
        max: usize,
        block: Duration,
    ) -> Result<Vec<Leased>, StoreError> {
        self.consumers.seen(&lane.queue, consumer);
        let deadline = tokio::time::Instant::now() + block;
        let mut signal = self.signals.subscribe(&lane.queue);
        loop {
            signal.mark_unchanged();
            let queue = lane.queue.clone();
            let (leased, next_due) = self
                .writer
                .write(
                    move |connection| Box::pin(changes::lease(connection, queue, max)),
                    |_| {},
                )
                .await?;
            if !leased.is_empty() {
                return Ok(leased);
            }
            let due = next_due.map(|due| {
                tokio::time::Instant::now() + Duration::from_millis(due.saturating_sub(now_ms()))
            });
            let wake_at = due.map_or(deadline, |due| due.min(deadline));
            tokio::select! {
                _ = signal.changed() => {}
                () = tokio::time::sleep_until(wake_at) => {
                    if wake_at == deadline {
                        return Ok(vec![]);
                    }
                }
            }
        }
    }

    async fn extend(&self, consumer: &str, leases: &[Lease]) -> Result<Vec<bool>, StoreError> {
        for lease in leases {
            self.consumers.seen(&lease.lane.queue, consumer);
        }
        let leases = leases.to_vec();
        self.writer
            .write(
                move |connection| Box::pin(changes::extend(connection, leases)),
                |_| {},
            )
            .await
    }

    async fn settle(&self, batch: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let (waiters, signals) = (self.waiters.clone(), Arc::clone(&self.signals));
        let (batch, settlements) = (batch.to_vec(), batch.to_vec());
        self.writer
            .write(
                move |connection| Box::pin(changes::settle(connection, batch)),
                move |results: &Vec<Settled>| {
                    for (settlement, settled) in settlements.iter().zip(results) {
                        notify(&waiters, &signals, settlement, *settled);
                    }
                },
            )
            .await
    }

    async fn reclaim(&self, lane: &Lane, policy: &ReclaimPolicy) -> Result<Reclaimed, StoreError> {
        let (waiters, signals) = (self.waiters.clone(), Arc::clone(&self.signals));
        let (queue, policy) = (lane.queue.clone(), *policy);
        let signalled = queue.clone();
        let (reclaimed, _) = self
            .writer
            .write(
                move |connection| Box::pin(changes::reclaim(connection, queue, policy)),
                move |(_, changed): &(Reclaimed, Vec<JobId>)| {
                    changed.iter().for_each(|id| waiters.wake(*id));
                    if !changed.is_empty() {
                        signals.send(&signalled);
                    }
                },
            )
            .await?;
        Ok(reclaimed)
    }

    async fn retire(&self, lane: &Lane, consumer: &str) -> Result<(), StoreError> {
        self.consumers.forget(&lane.queue, consumer);
        Ok(())
    }

    async fn get(&self, id: JobId) -> Result<Option<JobView>, StoreError> {
        reads::get(&self.readers, id).await
    }

    fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    async fn stats(&self) -> Result<Vec<QueueStats>, StoreError> {
        reads::stats(&self.readers, &self.queues).await
    }

    async fn consumers(&self) -> Result<Vec<Consumer>, StoreError> {
        Ok(self.consumers.all())
    }

    async fn list(&self, filter: &JobFilter) -> Result<Page, StoreError> {
        reads::list(&self.readers, filter).await
    }

    async fn replay(&self, id: JobId) -> Result<bool, StoreError> {
        let (waiters, signals) = (self.waiters.clone(), Arc::clone(&self.signals));
        let queue = self
            .writer
            .write(
                move |connection| Box::pin(changes::replay(connection, id)),
                move |queue: &Option<QueueName>| {
                    waiters.wake(id);
                    if let Some(queue) = queue {
                        signals.send(queue);
                    }
                },
            )
            .await?;
        Ok(queue.is_some())
    }

    async fn purge(&self, id: JobId) -> Result<bool, StoreError> {
        let waiters = self.waiters.clone();
        self.writer
            .write(
                move |connection| Box::pin(changes::purge(connection, id)),
                move |_| waiters.wake(id),
            )
            .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        Ok(())
    }
}
