//! The embedded engine, for `avalon dev` and `avalon all`: API and workers in one process, one
//! SQLite file, wake-ups inside the process. Other processes may look at the file and replay or
//! purge dead letters (`avalon jobs`), but two processes that run jobs want Redis.
//!
//! Every change goes through one writer (`writer`), which puts all that is waiting into one
//! transaction, so that one `fsync` serves many jobs. `changes` holds the statements that change
//! something, `reads` those that do not.

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
    bells: Arc<Bells>,
    consumers: Arc<Consumers>,
}

/// When each consumer last asked for jobs.
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

/// One bell a queue, rung when a job becomes ready or the soonest due time may have changed.
#[derive(Default)]
struct Bells(Mutex<HashMap<QueueName, watch::Sender<()>>>);

impl Bells {
    fn listen(&self, queue: &QueueName) -> watch::Receiver<()> {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bells
            .entry(queue.clone())
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe()
    }

    fn ring(&self, queue: &QueueName) {
        if let Some(bell) = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(queue)
        {
            bell.send_replace(());
        }
    }
}

impl Sqlite {
    /// Opens the file, creating it and its tables when it is new.
    ///
    /// # Errors
    /// When the file cannot be opened, or was written by a newer version.
    pub async fn open(path: &Path, queues: Vec<QueueName>) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A job that was accepted survives a power cut.
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
            bells: Arc::default(),
            consumers: Arc::default(),
        })
    }
}

/// Wakes those who wait for the job, and the workers when it is ready again.
fn tell(waiters: &Waiters, bells: &Bells, settlement: &Settlement, answer: Settled) {
    let job = &settlement.leased.job;
    let ended = |state, result, error| {
        let ended = Ended {
            state,
            result,
            error,
        };
        waiters.ended(job.id, ended);
    };
    match (&settlement.settle, answer) {
        (_, Settled::LeaseLost) => waiters.wake(job.id),
        (Settle::Succeeded(result), _) => {
            ended(JobState::Succeeded, Some(result.clone()), None);
        }
        (Settle::Rejected(failure), _) => ended(JobState::Rejected, None, Some(failure.clone())),
        (Settle::Dead(failure), _) => ended(JobState::Dead, None, Some(failure.clone())),
        (Settle::Retry { .. } | Settle::HandBack, _) => {
            waiters.wake(job.id);
            bells.ring(&job.queue);
        }
    }
}

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
        let bells = Arc::clone(&self.bells);
        let mut queues: Vec<QueueName> = jobs.iter().map(|(job, _)| job.queue.clone()).collect();
        queues.dedup();
        self.writer
            .write(
                move |connection| Box::pin(changes::enqueue(connection, jobs)),
                move |_| queues.iter().for_each(|queue| bells.ring(queue)),
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
        let mut bell = self.bells.listen(&lane.queue);
        loop {
            bell.mark_unchanged();
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
                _ = bell.changed() => {}
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
        let (waiters, bells) = (self.waiters.clone(), Arc::clone(&self.bells));
        let (batch, told) = (batch.to_vec(), batch.to_vec());
        self.writer
            .write(
                move |connection| Box::pin(changes::settle(connection, batch)),
                move |answers: &Vec<Settled>| {
                    for (settlement, answer) in told.iter().zip(answers) {
                        tell(&waiters, &bells, settlement, *answer);
                    }
                },
            )
            .await
    }

    async fn reclaim(&self, lane: &Lane, policy: &ReclaimPolicy) -> Result<Reclaimed, StoreError> {
        let (waiters, bells) = (self.waiters.clone(), Arc::clone(&self.bells));
        let (queue, policy) = (lane.queue.clone(), *policy);
        let bell = queue.clone();
        let (reclaimed, _) = self
            .writer
            .write(
                move |connection| Box::pin(changes::reclaim(connection, queue, policy)),
                move |(_, changed): &(Reclaimed, Vec<JobId>)| {
                    changed.iter().for_each(|id| waiters.wake(*id));
                    if !changed.is_empty() {
                        bells.ring(&bell);
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
        let (waiters, bells) = (self.waiters.clone(), Arc::clone(&self.bells));
        let queue = self
            .writer
            .write(
                move |connection| Box::pin(changes::replay(connection, id)),
                move |queue: &Option<QueueName>| {
                    waiters.wake(id);
                    if let Some(queue) = queue {
                        bells.ring(queue);
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
