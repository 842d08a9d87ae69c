//! What the migration of a new version does to a running service.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::sleep;

const PAUSE: Duration = Duration::from_millis(20);

/// The tables of a database after `add_columns`.
#[derive(Debug, Default)]
pub struct ChangedTables {
    /// Those that have the column.
    pub changed: Vec<String>,
    /// Those that were busy at each attempt, with the last error.
    pub busy: Vec<String>,
}

/// Adds a column to every table, waiting for locks as briefly as migrations do.
///
/// # Panics
/// If the database cannot be reached.
pub async fn add_columns(url: &str, column: &str, attempts: usize) -> ChangedTables {
    let mut connection = PgConnection::connect(url).await.expect("connect");
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT CAST(oid AS regclass)::text FROM pg_class
         WHERE relkind IN ('r', 'p') AND NOT relispartition
           AND relnamespace = CAST('public' AS regnamespace)",
    )
    .fetch_all(&mut connection)
    .await
    .expect("read the names of the tables");
    let mut result = ChangedTables::default();
    'tables: for table in tables {
        let add =
            format!("SET lock_timeout = '500ms'; ALTER TABLE {table} ADD COLUMN {column} BIGINT");
        let mut last = String::new();
        for _ in 0..attempts {
            let change = sqlx::raw_sql(AssertSqlSafe(add.clone()));
            match change.execute(&mut connection).await {
                Ok(_) => {
                    result.changed.push(table);
                    continue 'tables;
                }
                Err(error) => last = format!("{table}: {error}"),
            }
            sleep(PAUSE).await;
        }
        result.busy.push(last);
    }
    result
}
