//! Events into Postgres: all rows of a group of batches by one statement, as arrays. An existing event is
//! skipped: it is the result of a crash or of a lost reply.
//!
//! Not by COPY, which costs the server a third less, but cannot skip rows, and waits 40 ms for a delayed
//! acknowledgement, since the driver leaves Nagle's algorithm enabled: docs/performance.md.

mod columns;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool};
use tokio::sync::Mutex;

use super::day::Day;
use super::partitions;
use super::prepare::{EventRow, Prepared};
use crate::storage::config::DatabaseConfig;
use crate::storage::database::{DatabaseError, NETWORK_LIMITS, SESSION_LIMITS};
use columns::{Profile, store};

/// One for each group that is being written.
const CONNECTIONS: u32 = super::writer::MAX_GROUPS as u32;
/// Time for a group.
const TIMEOUT: Duration = Duration::from_secs(20);
/// SQLSTATE of a row that has no partition.
pub(super) const NO_PARTITION: &str = "23514";

/// Instead of the session's limits: the server gives up before we do, since an abandoned statement would hold
/// its connection, and each retry would add one.
const LIMITS: &str = "SET statement_timeout = '15s'; SET lock_timeout = '5s'";

/// A group of batches, each event once and in a global order, so that two writers of the same events do
/// not deadlock.
struct Group<'a> {
    rows: Vec<(&'a Prepared, &'a EventRow, &'a str)>,
    players: BTreeSet<(&'a str, Day)>,
}

impl<'a> Group<'a> {
    fn of(batches: &[&'a Prepared]) -> Self {
        let mut rows: Vec<_> = batches
            .iter()
            .flat_map(|batch| batch.rows.iter().map(move |row| (*batch, row)))
            .map(|(batch, row)| {
                let player = batch.head.players.get(row.line.player);
                (batch, row, player.map_or("", |player| &*player.user_id))
            })
            .collect();
        let key = |(_, row, user): &(&Prepared, &'a EventRow, &'a str)| (*user, &*row.id, row.day);
        rows.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        rows.dedup_by(|a, b| key(a) == key(b));
        let shows_presence = |(batch, row, _): &&(&Prepared, &EventRow, &str)| {
            batch.head.shows_presence(&row.line.name)
        };
        let present = rows.iter().filter(shows_presence);
        let players = present.map(|(_, row, user)| (*user, row.day)).collect();
        Self { rows, players }
    }
}

/// Writes events to Postgres, over a pool of its own.
pub(super) struct PostgresEvents {
    options: PgConnectOptions,
    pool: Mutex<PgPool>,
    /// Days whose partitions exist.
    days: Mutex<HashSet<Day>>,
}

impl PostgresEvents {
    pub(super) fn new(config: &DatabaseConfig) -> Result<Self, DatabaseError> {
        let options: PgConnectOptions = config.url.expose().parse()?;
        Ok(Self {
            pool: Mutex::new(connect(options.clone())),
            options,
            days: Mutex::default(),
        })
    }

    /// Writes batches in one transaction; returns the number of new events. A timeout counts as an outage.
    pub(super) async fn write(&self, batches: &[&Prepared]) -> Result<u64, DatabaseError> {
        let pool = self.pool.lock().await.clone();
        match tokio::time::timeout(TIMEOUT, self.write_by(&pool, batches)).await {
            Ok(written) => written,
            Err(_) => {
                // The state of these connections is unknown.
                *self.pool.lock().await = connect(self.options.clone());
                Err(DatabaseError::Unavailable(sqlx::Error::PoolTimedOut))
            }
        }
    }

    async fn write_by(&self, pool: &PgPool, batches: &[&Prepared]) -> Result<u64, DatabaseError> {
        let group = Group::of(batches);
        let mut connection = pool.acquire().await?;
        let written = self.write_on(&mut connection, &group).await;
        if written.is_err() {
            // The session may be the cause: one that began while the server was read-only remains so.
            connection.close_on_drop();
        }
        written
    }

    async fn write_on(
        &self,
        connection: &mut PgConnection,
        group: &Group<'_>,
    ) -> Result<u64, DatabaseError> {
        self.create_partitions(connection, group).await?;
        let profiles = profiles(connection, group).await?;
        let stored = store(connection, group, &profiles).await;
        if matches!(&stored, Err(error) if error.has_code(NO_PARTITION)) {
            // One was dropped, or an older database was restored.
            self.days.lock().await.clear();
        }
        stored
    }

    /// Creates missing partitions: those of late events and of the first ones. A job creates the others
    /// ahead.
    async fn create_partitions(
        &self,
        connection: &mut PgConnection,
        group: &Group<'_>,
    ) -> Result<(), DatabaseError> {
        let wanted: HashSet<Day> = group.rows.iter().map(|(_, row, _)| row.day).collect();
        let new: Vec<Day> = {
            let days = self.days.lock().await;
            wanted.difference(&days).copied().collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        for day in &new {
            sqlx::raw_sql(partitions::create_statement(*day))
                .execute(&mut *connection)
                .await?;
        }
        self.days.lock().await.extend(new);
        Ok(())
    }
}

async fn profiles(
    connection: &mut PgConnection,
    group: &Group<'_>,
) -> Result<HashMap<String, Profile>, DatabaseError> {
    // The rows are in the order of their players.
    let mut ids: Vec<&str> = group.rows.iter().map(|(_, _, user)| *user).collect();
    ids.dedup();
    let rows = sqlx::query_as::<_, (String, String, Option<String>, Option<String>, bool)>(
        "SELECT id, open_id, country, city, erased_at IS NOT NULL FROM users WHERE id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    let profile = |(id, open_id, country, city, erased)| {
        let profile = Profile {
            open_id,
            country,
            city,
            erased,
        };
        (id, profile)
    };
    Ok(rows.into_iter().map(profile).collect())
}

/// Creates a pool that connects on first use.
fn connect(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(2))
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(SESSION_LIMITS)
                    .execute(&mut *connection)
                    .await?;
                sqlx::raw_sql(LIMITS).execute(&mut *connection).await?;
                if let Err(error) = sqlx::raw_sql(NETWORK_LIMITS)
                    .execute(&mut *connection)
                    .await
                {
                    tracing::debug!(%error, "the server's network timeouts were not set");
                }
                Ok(())
            })
        })
        .connect_lazy_with(options)
}
