//! How far a target has processed what it accepted. Times are those of the commits, by the server's clock
//! (`track_commit_timestamp`): exact, the same for every target, and independent of how often it is asked.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::time::{Instant, sleep};

use super::target::Target;
use crate::Outcome;

/// Timeout for a target to process everything.
const TIMEOUT: Duration = Duration::from_secs(300);

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) enum Rows {
    PaidOrders,
    Events,
}

/// When rows were committed, in seconds since the first of the load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commits {
    pub(crate) first: f64,
    pub(crate) last: f64,
}

/// A connection that counts rows of a target.
pub(crate) struct Progress {
    connection: PgConnection,
    from: &'static str,
}

impl Progress {
    /// Connects.
    pub(crate) async fn of(database_url: &str, target: Target, rows: Rows) -> Outcome<Self> {
        let from = match (rows, target) {
            (Rows::PaidOrders, _) => "FROM orders WHERE status = 'paid'",
            (Rows::Events, Target::Nestjs) => "FROM events WHERE true",
            // Sign-ins are events too.
            (Rows::Events, _) => "FROM analytics_events WHERE source = 'client'",
        };
        let connection = PgConnection::connect(database_url).await?;
        Ok(Self { connection, from })
    }

    /// Waits until there are this many.
    pub(crate) async fn wait_for(&mut self, number: u64) -> Outcome<()> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let statement = format!("SELECT count(*) {}", self.from);
            let seen: i64 = sqlx::query_scalar(AssertSqlSafe(statement))
                .fetch_one(&mut self.connection)
                .await?;
            let seen = u64::try_from(seen)?;
            if seen >= number {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{seen} of {number} were processed in {TIMEOUT:?}").into());
            }
            // Counting takes CPU from the target: seldom while much is missing.
            let pause = if number - seen > number / 8 { 500 } else { 100 };
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// The commits since `start`.
    pub(crate) async fn commits_since(&mut self, start: SystemTime) -> Outcome<Commits> {
        let start = start.duration_since(UNIX_EPOCH)?.as_secs_f64();
        let statement = format!(
            "SELECT extract(epoch FROM min(at))::float8, extract(epoch FROM max(at))::float8
             FROM (SELECT pg_xact_commit_timestamp(xmin) AS at {}) AS commits
             WHERE at >= to_timestamp($1)",
            self.from
        );
        let row = sqlx::query(AssertSqlSafe(statement))
            .bind(start)
            .fetch_one(&mut self.connection)
            .await?;
        let time = |column: usize| -> Outcome<f64> {
            let time: Option<f64> = row.try_get(column)?;
            Ok(time.ok_or("nothing was committed")? - start)
        };
        Ok(Commits {
            first: time(0)?,
            last: time(1)?,
        })
    }

    /// Number of rows that were committed from `start` until before `end`.
    pub(crate) async fn committed_between(
        &mut self,
        start: SystemTime,
        end: SystemTime,
    ) -> Outcome<u64> {
        let statement = format!(
            "SELECT count(*) FROM (SELECT pg_xact_commit_timestamp(xmin) AS at {}) AS commits
             WHERE at >= to_timestamp($1) AND at < to_timestamp($2)",
            self.from
        );
        let committed: i64 = sqlx::query_scalar(AssertSqlSafe(statement))
            .bind(start.duration_since(UNIX_EPOCH)?.as_secs_f64())
            .bind(end.duration_since(UNIX_EPOCH)?.as_secs_f64())
            .fetch_one(&mut self.connection)
            .await?;
        Ok(u64::try_from(committed)?)
    }

    /// Writes what earlier loads have left to write, so that it does not fall into the next one.
    pub(crate) async fn checkpoint(&mut self) -> Outcome<()> {
        sqlx::raw_sql("CHECKPOINT")
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }
}
