//! Partitions of the events table: in Postgres one for each day, created ahead and dropped as a whole
//! when it is old. SQLite has no partitions; old rows are deleted there.

use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::day::Day;
use crate::storage::config::Dialect;
use crate::storage::database::{Database, DatabaseError};

/// Advisory lock of partition creation; an arbitrary number.
const LOCK: i64 = 0x6176_616c_6f6e_6576;
/// Wait for a lock to create or drop a partition; other statements queue behind that wait.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// Rows that SQLite deletes in one transaction, which blocks other writers.
const DELETE_BATCH: i64 = 5000;

/// Returns the statement that creates a day's partition unless it exists. It attaches a new table: unlike
/// `PARTITION OF`, that does not wait for readers and block writers meanwhile.
pub fn create_statement(day: Day) -> AssertSqlSafe<String> {
    let (name, from, to) = (name_of(day), day.number(), day.plus(1).number());
    let timeout = LOCK_TIMEOUT.as_millis();
    AssertSqlSafe(format!(
        "DO $$ BEGIN
             PERFORM set_config('lock_timeout', '{timeout}', true);
             PERFORM pg_advisory_xact_lock({LOCK});
             IF to_regclass('{name}') IS NULL THEN
                 CREATE TABLE {name} (LIKE analytics_events INCLUDING ALL);
                 ALTER TABLE analytics_events ATTACH PARTITION {name}
                     FOR VALUES FROM ({from}) TO ({to});
             END IF;
         END $$"
    ))
}

fn name_of(day: Day) -> String {
    format!("analytics_events_d{}", day.number())
}

fn day_of_name(name: &str) -> Option<Day> {
    let number = name.strip_prefix("analytics_events_d")?;
    Some(Day::from_number(number.parse().ok()?))
}

/// Creates missing partitions of `days` days from `first`, on Postgres.
///
/// # Errors
/// The database's.
pub async fn create_ahead(database: &Database, first: Day, days: i64) -> Result<(), DatabaseError> {
    if database.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    let existing = existing(&mut *database.pool().acquire().await?).await?;
    let days = (0..days).map(|ahead| first.plus(ahead));
    for day in days.filter(|day| !existing.contains(day)) {
        // One at a time: a transaction that creates several would hold its locks longer.
        sqlx::raw_sql(create_statement(day))
            .execute(database.pool())
            .await?;
    }
    Ok(())
}

/// Removes the events of the days before `oldest`; returns the number of days (Postgres) or events
/// (SQLite).
///
/// # Errors
/// The database's. [`DatabaseError::Unavailable`] also when a day that is to be dropped is being read:
/// retry later.
pub async fn remove_before(database: &Database, oldest: Day) -> Result<u64, DatabaseError> {
    let mut removed = 0;
    if database.dialect() == Dialect::Sqlite {
        loop {
            let done = sqlx::query(
                "DELETE FROM analytics_events WHERE rowid IN
                     (SELECT rowid FROM analytics_events WHERE day < $1 LIMIT $2)",
            )
            .bind(oldest.number())
            .bind(DELETE_BATCH)
            .execute(database.pool())
            .await?
            .rows_affected();
            removed += done;
            if done == 0 {
                return Ok(removed);
            }
        }
    }
    let existing = existing(&mut *database.pool().acquire().await?).await?;
    for day in existing.into_iter().filter(|day| *day < oldest) {
        // One transaction each: a day that is being read does not delay the others.
        let mut transaction = database.begin().await?;
        let timeout = LOCK_TIMEOUT.as_millis();
        let statements = [
            format!("SET LOCAL lock_timeout = {timeout}"),
            format!("DROP TABLE IF EXISTS {}", name_of(day)),
        ];
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        removed += 1;
    }
    Ok(removed)
}

async fn existing(connection: &mut AnyConnection) -> Result<Vec<Day>, DatabaseError> {
    let rows = sqlx::query(
        "SELECT CAST(c.relname AS TEXT) AS name
         FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = CAST('analytics_events' AS regclass)",
    )
    .fetch_all(connection)
    .await?;
    let mut days = Vec::with_capacity(rows.len());
    for row in rows {
        days.extend(day_of_name(&row.try_get::<String, _>("name")?));
    }
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_name_round_trips() {
        for day in [0, 20_450, 999_999] {
            let day = Day::from_number(day);
            assert_eq!(day_of_name(&name_of(day)), Some(day));
        }
        assert_eq!(day_of_name("analytics_events_default"), None);
    }
}
