//! Writes prepared batches to the database with group commit: all waiting batches go into one
//! transaction, whatever jobs they come from, and each job gets its result only after the commit. A
//! few groups are written concurrently.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::metrics::{EventMetrics, EventOutcome};
use super::postgres::{NO_PARTITION, PostgresEvents};
use super::prepare::Prepared;
use super::sqlite;
use crate::storage::config::{DatabaseConfig, Dialect};
use crate::storage::database::{Database, DatabaseError};

/// Batches per transaction.
const MAX_BATCHES: usize = 256;
/// Approximate size of a transaction, in bytes of events.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Groups that are written concurrently; Postgres uses a core for each.
pub(super) const MAX_GROUPS: usize = 4;
/// Batches for which a group is begun beside another one: a larger group costs less per event.
const LARGE_GROUP: usize = 16;
/// Time after which a smaller one is begun, too.
const HEAD_START: Duration = Duration::from_millis(20);
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Writes events. Cheap to clone.
#[derive(Clone)]
pub struct EventWriter {
    queue: mpsc::Sender<Waiting>,
}

struct Waiting {
    batch: Arc<Prepared>,
    result: oneshot::Sender<Result<(), Arc<DatabaseError>>>,
}

impl EventWriter {
    /// Starts the writer task; it ends with the last handle.
    ///
    /// # Errors
    /// When the URL of the database is malformed.
    pub fn spawn(
        database: Database,
        config: &DatabaseConfig,
        metrics: EventMetrics,
    ) -> Result<Self, DatabaseError> {
        let events = match database.dialect() {
            Dialect::Postgres => Events::Postgres(Box::new(PostgresEvents::new(config)?)),
            Dialect::Sqlite => Events::Sqlite(database),
        };
        let (queue, waiting) = mpsc::channel(MAX_BATCHES);
        tokio::spawn(write_all(Arc::new(events), metrics, waiting));
        Ok(Self { queue })
    }

    /// Writes a batch; after `Ok` its events are on disk. Waits while the database is down or lacks a
    /// table that an operator must create. A caller that does not want to wait drops the future; the batch
    /// is not written then, unless its write has begun. Writing a batch twice is harmless.
    ///
    /// # Errors
    /// The database rejected the batch; a retry does not help.
    pub async fn write(&self, batch: Arc<Prepared>) -> Result<(), Arc<DatabaseError>> {
        let (result, received) = oneshot::channel();
        let gone = || Arc::new(DatabaseError::Unavailable(sqlx::Error::PoolClosed));
        self.queue
            .send(Waiting { batch, result })
            .await
            .map_err(|_| gone())?;
        received.await.map_err(|_| gone())?
    }
}

enum Events {
    Postgres(Box<PostgresEvents>),
    Sqlite(Database),
}

impl Events {
    /// SQLite has a single writer.
    fn max_groups(&self) -> usize {
        match self {
            Self::Postgres(_) => MAX_GROUPS,
            Self::Sqlite(_) => 1,
        }
    }

    /// Writes batches in one transaction; returns the number of new events.
    async fn write(&self, batches: &[&Prepared]) -> Result<u64, DatabaseError> {
        match self {
            Self::Postgres(events) => events.write(batches).await,
            Self::Sqlite(database) => sqlite::write(database, batches).await,
        }
    }
}

async fn write_all(events: Arc<Events>, metrics: EventMetrics, mut queue: mpsc::Receiver<Waiting>) {
    let (slots, written) = (
        Arc::new(Semaphore::new(events.max_groups())),
        Arc::new(Notify::new()),
    );
    // Batches that arrive while all slots are in use form the next group.
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        let mut done = pin!(written.notified());
        done.as_mut().enable();
        let is_alone = slots.available_permits() + 1 == events.max_groups();
        if !is_alone && queue.len() < LARGE_GROUP {
            let _ = timeout(HEAD_START, done).await;
        }
        let mut received = Vec::new();
        if queue.recv_many(&mut received, MAX_BATCHES).await == 0 {
            return;
        }
        let (events, metrics) = (Arc::clone(&events), metrics.clone());
        let written = Arc::clone(&written);
        tokio::spawn(async move {
            while !received.is_empty() {
                let rest = received.split_off(count_that_fits(&received));
                let group = std::mem::replace(&mut received, rest);
                write_group(&events, &metrics, group).await;
            }
            drop(slot);
            written.notify_waiters();
        });
    }
}

/// Number of batches, from the front, that fit into one transaction; at least one.
fn count_that_fits(waiting: &[Waiting]) -> usize {
    let mut bytes = 0;
    let fit = waiting.iter().take_while(|waiting| {
        let before = bytes;
        let rows = waiting.batch.rows.iter();
        bytes += rows
            .map(|row| row.line.params.get().len() + 200)
            .sum::<usize>();
        before < MAX_BYTES
    });
    fit.count()
}

async fn write_group(events: &Events, metrics: &EventMetrics, mut group: Vec<Waiting>) {
    let mut pause = MIN_PAUSE;
    loop {
        // A job that has given up retries by itself.
        group.retain(|waiting| !waiting.result.is_closed());
        if group.is_empty() {
            return;
        }
        match write_once(events, metrics, &group).await {
            Ok(()) => return group.into_iter().for_each(|waiting| reply(waiting, Ok(()))),
            Err(error) if !is_data_error(&error) => {
                // Includes what an operator must repair, such as a missing table: no event is lost.
                tracing::warn!(%error, batches = group.len(), "events wait for the database");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
            Err(error) if group.len() == 1 => {
                let error = Arc::new(error);
                let reply = |waiting| reply(waiting, Err(Arc::clone(&error)));
                return group.into_iter().for_each(reply);
            }
            Err(error) => {
                // One of them cannot be written, which must not affect the others.
                tracing::warn!(%error, batches = group.len(), "database rejected a group of events, writing batches one by one");
                for waiting in group {
                    Box::pin(write_group(events, metrics, vec![waiting])).await;
                }
                return;
            }
        }
    }
}

/// Whether the events themselves are the cause, so that no retry helps: data exceptions, violated
/// constraints other than a missing partition, and exceeded limits (SQLSTATE classes 22, 23 and 54).
fn is_data_error(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::Refused(sqlx::Error::Encode(_)) => true,
        DatabaseError::Refused(sqlx::Error::Database(error)) => error.code().is_some_and(|code| {
            code != NO_PARTITION && ["22", "23", "54"].iter().any(|of| code.starts_with(of))
        }),
        _ => false,
    }
}

fn reply(waiting: Waiting, result: Result<(), Arc<DatabaseError>>) {
    // A job that has given up retries, which is harmless.
    let _ = waiting.result.send(result);
}

async fn write_once(
    events: &Events,
    metrics: &EventMetrics,
    group: &[Waiting],
) -> Result<(), DatabaseError> {
    let batches: Vec<&Prepared> = group.iter().map(|waiting| &*waiting.batch).collect();
    let all = batches.iter().map(|batch| batch.rows.len()).sum::<usize>();
    if all > 0 {
        let begun = Instant::now();
        let stored = events.write(&batches).await?;
        let stored = usize::try_from(stored).unwrap_or(all).min(all);
        metrics.flushed(all, begun.elapsed());
        metrics.count(EventOutcome::Stored, stored);
        metrics.count(EventOutcome::Duplicate, all - stored);
    }
    for batch in batches {
        batch.dropped.count(metrics);
    }
    Ok(())
}
