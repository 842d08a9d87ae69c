//! The days that the events table consists of: in Postgres a partition each, made before it is
//! needed and dropped as a whole when it is old. SQLite has no partitions; there old rows are
//! deleted.

use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::day::Day;
use crate::storage::config::Dialect;
use crate::storage::database::{Database, DatabaseError};

/// Makers of partitions go one after the other; the number means nothing.
const LOCK: i64 = 0x6176_616c_6f6e_6576;
/// How long the making or the drop of a day waits for those who are in its way: others wait behind it.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// Rows that SQLite deletes in one transaction, so that nobody waits long.
const ROWS_AT_ONCE: i64 = 5000;

/// The statement that makes a day's partition unless it is there. A table of its own that becomes part of
/// the other: unlike `PARTITION OF`, that does not wait until nobody reads, and keep who writes waiting
/// behind it.
pub fn make_statement(day: Day) -> AssertSqlSafe<String> {
    let (name, from, to) = (name_of(day), day.number(), day.plus(1).number());
    let patience = LOCK_PATIENCE.as_millis();
    AssertSqlSafe(format!(
        "DO $$ BEGIN
             PERFORM set_config('lock_timeout', '{patience}', true);
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

/// Makes the partitions of these days, where there are partitions.
///
/// # Errors
/// The database's.
pub async fn make_ahead(database: &Database, first: Day, days: i64) -> Result<(), DatabaseError> {
    if database.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    let there = existing(&mut *database.pool().acquire().await?).await?;
    let days = (0..days).map(|ahead| first.plus(ahead));
    for day in days.filter(|day| !there.contains(day)) {
        // One at a time: a transaction that makes several would hold what others want for longer.
        sqlx::raw_sql(make_statement(day))
            .execute(database.pool())
            .await?;
    }
    Ok(())
}

/// Removes the events of the days before `oldest`; answers how many days (Postgres) or events
/// (SQLite) that were.
///
/// # Errors
/// The database's. [`DatabaseError::Unavailable`] too, when somebody reads a day that is to be
/// dropped: ask again later.
pub async fn remove_before(database: &Database, oldest: Day) -> Result<u64, DatabaseError> {
    let mut removed = 0;
    if database.dialect() == Dialect::Sqlite {
        loop {
            let done = sqlx::query(
                "DELETE FROM analytics_events WHERE rowid IN
                     (SELECT rowid FROM analytics_events WHERE day < $1 LIMIT $2)",
            )
            .bind(oldest.number())
            .bind(ROWS_AT_ONCE)
            .execute(database.pool())
            .await?
            .rows_affected();
            removed += done;
            if done == 0 {
                return Ok(removed);
            }
        }
    }
    let there = existing(&mut *database.pool().acquire().await?).await?;
    for day in there.into_iter().filter(|day| *day < oldest) {
        // A transaction each: a day that is being read keeps no other.
        let mut transaction = database.begin().await?;
        let patience = LOCK_PATIENCE.as_millis();
        let statements = [
            format!("SET LOCAL lock_timeout = {patience}"),
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
    fn a_partitions_name_tells_its_day() {
        for day in [0, 20_450, 999_999] {
            let day = Day::from_number(day);
            assert_eq!(day_of_name(&name_of(day)), Some(day));
        }
        assert_eq!(day_of_name("analytics_events_default"), None);
    }
}
