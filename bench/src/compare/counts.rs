//! What a load asks of the stores: Redis commands and SQL statements, by the servers' own statistics.

use std::collections::BTreeMap;

use sqlx::{Connection, PgConnection};

use super::shared::{Shared, Stores};
use crate::Outcome;

/// Redis commands, those within scripts included.
pub(crate) const REDIS_COMMANDS: &str = "redisCommands";
/// Statements of clients, `BEGIN` and `COMMIT` included.
pub(crate) const STATEMENTS: &str = "statements";

/// Counts since the stores were started, by name.
pub(crate) struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    /// Reads them.
    pub(crate) async fn read(shared: &Shared, stores: &Stores) -> Outcome<Self> {
        let statistics: String = stores.redis.run(&["INFO", "commandstats"]).await?;
        let mut connection = PgConnection::connect(&shared.postgres.url()).await?;
        let statements: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(s.calls), 0)::bigint FROM pg_stat_statements s
             JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = $1",
        )
        .bind(database_of(stores.database.url()))
        .fetch_one(&mut connection)
        .await?;
        connection.close().await?;
        Ok(Self(
            [
                (REDIS_COMMANDS, calls(&statistics)),
                (STATEMENTS, u64::try_from(statements)?),
            ]
            .into(),
        ))
    }

    /// What was added since `before`.
    pub(crate) fn since(&self, before: &Self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(name, number)| {
            let earlier = before.0.get(name).copied().unwrap_or_default();
            (*name, number.saturating_sub(earlier))
        })
    }
}

/// Prepares the server, once.
pub(crate) async fn prepare(server_url: &str) -> Outcome<()> {
    let mut connection = PgConnection::connect(server_url).await?;
    sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        .execute(&mut connection)
        .await?;
    Ok(connection.close().await?)
}

fn database_of(url: &str) -> &str {
    let (_, name) = url.rsplit_once('/').unwrap_or(("", url));
    name.split('?').next().unwrap_or_default()
}

/// Sums the calls of `INFO commandstats`. A script is a command, and so is each of its commands.
fn calls(statistics: &str) -> u64 {
    let calls = |line: &str| {
        let (_, rest) = line.split_once("calls=")?;
        rest.split(',').next()?.parse::<u64>().ok()
    };
    statistics.lines().filter_map(calls).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_all_commands_are_added() {
        let statistics = "# Commandstats\r\ncmdstat_get:calls=3,usec=4,usec_per_call=1.33\r\n\
            cmdstat_config|set:calls=2,usec=9\r\n";
        assert_eq!(calls(statistics), 5);
    }

    #[test]
    fn database_is_the_last_part_of_the_url() {
        let url = "postgres://postgres@127.0.0.1:5432/bench?sslmode=disable";
        assert_eq!(database_of(url), "bench");
    }
}
