//! Events into Postgres: COPY into a temporary table, from there into the partitions, in one
//! transaction. What is there already is left out on the second step, which COPY alone can't do.

use std::collections::HashSet;
use std::fmt::Write;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool};

use super::day::Day;
use super::partitions;
use super::prepare::{EventRow, Prepared};
use crate::config::DatabaseConfig;
use crate::database::DatabaseError;

/// Bytes that are sent in one message.
const CHUNK: usize = 64 * 1024;

/// How long a transaction may take.
const PATIENCE: Duration = Duration::from_secs(20);

const STAGED: &str = "CREATE TEMPORARY TABLE staged_events (
        day BIGINT, at BIGINT, received_at BIGINT, event_id TEXT, user_id TEXT, open_id TEXT,
        event_name TEXT, params JSONB, session_id TEXT, source TEXT, known SMALLINT,
        app_version TEXT, platform TEXT, scene BIGINT
    ) ON COMMIT DELETE ROWS";

const COPY: &str = "COPY staged_events FROM STDIN";

/// In one order everywhere, so that two who write the same events don't wait for each other in a
/// ring.
const STORE: &str = "INSERT INTO analytics_events (
        day, at, received_at, event_id, user_id, open_id, event_name, params, session_id, source,
        known, app_version, platform, scene, country, city)
    SELECT s.day, s.at, s.received_at, s.event_id, s.user_id, coalesce(s.open_id, u.open_id),
           s.event_name, s.params, s.session_id, s.source, s.known, s.app_version, s.platform,
           s.scene, u.country, u.city
    FROM staged_events s LEFT JOIN users u ON u.id = s.user_id
    ORDER BY s.user_id, s.event_id
    ON CONFLICT DO NOTHING";

const STORE_DAYS: &str = "INSERT INTO analytics_user_days (user_id, day)
    SELECT DISTINCT user_id, day FROM staged_events ORDER BY user_id, day
    ON CONFLICT DO NOTHING";

/// The events of a Postgres database, with connections of their own.
pub(super) struct PostgresEvents {
    options: PgConnectOptions,
    pool: PgPool,
    /// Days whose partitions were seen.
    days: HashSet<Day>,
}

impl PostgresEvents {
    pub(super) fn new(config: &DatabaseConfig) -> Result<Self, DatabaseError> {
        let options: PgConnectOptions = config.url.expose().parse()?;
        Ok(Self {
            pool: connect(options.clone()),
            options,
            days: HashSet::new(),
        })
    }

    /// Writes batches in one transaction; answers how many events are new. A database that does not
    /// answer counts as away.
    pub(super) async fn write(&mut self, batches: &[&Prepared]) -> Result<u64, DatabaseError> {
        match tokio::time::timeout(PATIENCE, self.write_anyhow(batches)).await {
            Ok(written) => written,
            Err(_) => {
                // Nobody knows what these connections wait for.
                self.pool = connect(self.options.clone());
                Err(DatabaseError::Unavailable(sqlx::Error::PoolTimedOut))
            }
        }
    }

    async fn write_anyhow(&mut self, batches: &[&Prepared]) -> Result<u64, DatabaseError> {
        self.make_partitions(batches).await?;
        let mut transaction = self.pool.begin().await?;
        copy(&mut transaction, batches).await?;
        let stored = sqlx::raw_sql(STORE).execute(&mut *transaction).await?;
        sqlx::raw_sql(STORE_DAYS).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(stored.rows_affected())
    }

    /// They are made ahead by a job; this is for events that came late, and for the first ones.
    async fn make_partitions(&mut self, batches: &[&Prepared]) -> Result<(), DatabaseError> {
        let rows = batches.iter().flat_map(|batch| &batch.rows);
        let wanted: HashSet<Day> = rows.map(|row| row.day).collect();
        let new: Vec<Day> = wanted.difference(&self.days).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut transaction = self.pool.begin().await?;
        sqlx::raw_sql(partitions::lock_statement())
            .execute(&mut *transaction)
            .await?;
        for day in &new {
            sqlx::raw_sql(partitions::make_statement(*day))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        self.days.extend(new);
        Ok(())
    }
}

/// Connects when it is first used.
fn connect(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        // One writes; another one is for the time when that one's end is not known yet.
        .max_connections(2)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(2))
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(STAGED).execute(connection).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options)
}

async fn copy(connection: &mut PgConnection, batches: &[&Prepared]) -> Result<(), DatabaseError> {
    let mut sink = connection.copy_in_raw(COPY).await?;
    let mut chunk = String::with_capacity(CHUNK + 16 * 1024);
    for batch in batches {
        for row in &batch.rows {
            line(&mut chunk, batch, row);
            if chunk.len() >= CHUNK {
                sink.send(chunk.as_bytes()).await?;
                chunk.clear();
            }
        }
    }
    if !chunk.is_empty() {
        sink.send(chunk.as_bytes()).await?;
    }
    sink.finish().await?;
    Ok(())
}

/// One row in COPY's text format.
fn line(text: &mut String, batch: &Prepared, row: &EventRow) {
    let (head, line) = (&batch.head, &row.line);
    let (user, open_id) = match head.players.get(line.player) {
        Some(player) => (player.user_id.as_str(), player.open_id.as_deref()),
        None => ("", None),
    };
    number(text, Some(row.day.number()), '\t');
    number(text, Some(line.at), '\t');
    number(text, Some(head.received_at), '\t');
    field(text, Some(&row.id), '\t');
    field(text, Some(user), '\t');
    field(text, open_id, '\t');
    field(text, Some(&line.name), '\t');
    field(text, Some(line.params.get()), '\t');
    field(text, line.session_id.as_deref(), '\t');
    field(text, Some(head.source.as_str()), '\t');
    number(text, Some(i64::from(row.known)), '\t');
    field(text, head.client.app_version.as_deref(), '\t');
    field(text, head.client.platform.as_deref(), '\t');
    number(text, head.client.scene, '\n');
}

fn number(text: &mut String, value: Option<i64>, end: char) {
    match value {
        // A string takes whatever is written to it.
        Some(value) => drop(write!(text, "{value}{end}")),
        None => field(text, None, end),
    }
}

/// A field with what COPY would misunderstand escaped.
fn field(text: &mut String, value: Option<&str>, end: char) {
    match value {
        None => text.push_str("\\N"),
        Some(value) => {
            let mut rest = value;
            while let Some(at) = rest.find(['\\', '\n', '\r', '\t']) {
                text.push_str(&rest[..at]);
                text.push_str(match rest.as_bytes()[at] {
                    b'\\' => "\\\\",
                    b'\n' => "\\n",
                    b'\r' => "\\r",
                    _ => "\\t",
                });
                rest = &rest[at + 1..];
            }
            text.push_str(rest);
        }
    }
    text.push(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_copy_would_misunderstand_is_escaped() {
        let of = |value| {
            let mut text = String::new();
            field(&mut text, value, '\t');
            text
        };
        assert_eq!(of(Some("a\\b\nc\rd\te礼")), "a\\\\b\\nc\\rd\\te礼\t");
        assert_eq!(of(Some("\\N")), "\\\\N\t");
        assert_eq!(of(Some("")), "\t");
        assert_eq!(of(None), "\\N\t");
    }
}
