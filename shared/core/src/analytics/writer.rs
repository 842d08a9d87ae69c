//! Writes prepared batches to the database with group commit: all that is waiting goes into one
//! transaction, whatever jobs it comes from, and each job is told only after the commit. A few such
//! groups are written at the same time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::metrics::{EventMetrics, EventOutcome};
use super::postgres::{NO_PARTITION, PostgresEvents};
use super::prepare::Prepared;
use super::sqlite;
use crate::storage::config::{DatabaseConfig, Dialect};
use crate::storage::database::{Database, DatabaseError};

/// Batches per transaction.
const MOST_BATCHES: usize = 256;
/// About how many bytes of events per transaction.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// Groups that are written at the same time; a database works at each on another core.
pub(super) const MOST_GROUPS: usize = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Writes events. Cheap to clone.
#[derive(Clone)]
pub struct EventWriter {
    queue: mpsc::Sender<Waiting>,
}

struct Waiting {
    batch: Arc<Prepared>,
    told: oneshot::Sender<Result<(), Arc<DatabaseError>>>,
}

impl EventWriter {
    /// Starts the writing; it ends with the last handle.
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
        let (queue, waiting) = mpsc::channel(MOST_BATCHES);
        tokio::spawn(write_all(Arc::new(events), metrics, waiting));
        Ok(Self { queue })
    }

    /// Writes a batch; when this returns `Ok` its events are on disk. A database that is away, or lacks
    /// what an operator has to make, is waited for: who does not want to wait drops this, and the batch is not written then, unless
    /// it is being written in this moment. To write it again is harmless.
    ///
    /// # Errors
    /// The database refused the batch; trying again will not help.
    pub async fn write(&self, batch: Arc<Prepared>) -> Result<(), Arc<DatabaseError>> {
        let (told, answer) = oneshot::channel();
        let gone = || Arc::new(DatabaseError::Unavailable(sqlx::Error::PoolClosed));
        self.queue
            .send(Waiting { batch, told })
            .await
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

enum Events {
    Postgres(Box<PostgresEvents>),
    Sqlite(Database),
}

impl Events {
    /// SQLite has one writer.
    fn groups_at_once(&self) -> usize {
        match self {
            Self::Postgres(_) => MOST_GROUPS,
            Self::Sqlite(_) => 1,
        }
    }

    /// Writes batches in one transaction; answers how many events are new.
    async fn write(&self, batches: &[&Prepared]) -> Result<u64, DatabaseError> {
        match self {
            Self::Postgres(events) => events.write(batches).await,
            Self::Sqlite(database) => sqlite::write(database, batches).await,
        }
    }
}

async fn write_all(events: Arc<Events>, metrics: EventMetrics, mut queue: mpsc::Receiver<Waiting>) {
    let places = Arc::new(Semaphore::new(events.groups_at_once()));
    // What comes while all places are taken makes the next group.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let mut received = Vec::new();
        if queue.recv_many(&mut received, MOST_BATCHES).await == 0 {
            return;
        }
        let (events, metrics) = (Arc::clone(&events), metrics.clone());
        tokio::spawn(async move {
            while !received.is_empty() {
                let rest = received.split_off(as_many_as_fit(&received));
                let group = std::mem::replace(&mut received, rest);
                write_group(&events, &metrics, group).await;
            }
            drop(place);
        });
    }
}

/// How many from the front go into one transaction: at least one.
fn as_many_as_fit(waiting: &[Waiting]) -> usize {
    let mut bytes = 0;
    let fit = waiting.iter().take_while(|waiting| {
        let before = bytes;
        let rows = waiting.batch.rows.iter();
        bytes += rows
            .map(|row| row.line.params.get().len() + 200)
            .sum::<usize>();
        before < MOST_BYTES
    });
    fit.count()
}

async fn write_group(events: &Events, metrics: &EventMetrics, mut group: Vec<Waiting>) {
    let mut pause = FIRST_PAUSE;
    loop {
        // Whose job has given up is tried again by that job.
        group.retain(|waiting| !waiting.told.is_closed());
        if group.is_empty() {
            return;
        }
        match write_once(events, metrics, &group).await {
            Ok(()) => return group.into_iter().for_each(|waiting| tell(waiting, Ok(()))),
            Err(error) if !is_of_the_data(&error) => {
                // Also what an operator must mend, such as a table that is missing: no event is lost by it.
                tracing::warn!(%error, batches = group.len(), "events wait for the database");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(error) if group.len() == 1 => {
                let error = Arc::new(error);
                let tell_all = |waiting| tell(waiting, Err(Arc::clone(&error)));
                return group.into_iter().for_each(tell_all);
            }
            Err(error) => {
                // One of them can't be written; the others must not suffer for it.
                tracing::warn!(%error, batches = group.len(), "events are written batch by batch");
                for waiting in group {
                    Box::pin(write_group(events, metrics, vec![waiting])).await;
                }
                return;
            }
        }
    }
}

/// Whether the events themselves are at fault, so that they will never be taken: data exceptions, broken
/// constraints but for a missing partition, and what is too large (SQLSTATE classes 22, 23 and 54).
fn is_of_the_data(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::Refused(sqlx::Error::Encode(_)) => true,
        DatabaseError::Refused(sqlx::Error::Database(answer)) => {
            answer.code().is_some_and(|code| {
                code != NO_PARTITION && ["22", "23", "54"].iter().any(|of| code.starts_with(of))
            })
        }
        _ => false,
    }
}

fn tell(waiting: Waiting, answer: Result<(), Arc<DatabaseError>>) {
    // A job that has given up meanwhile does it again, which is harmless.
    let _ = waiting.told.send(answer);
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
        batch.left_out.count(metrics);
    }
    Ok(())
}
