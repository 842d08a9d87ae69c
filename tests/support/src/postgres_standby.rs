//! Physical replication of a private Postgres, for tests of failovers.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::PostgresServer;
use crate::postgres_server::run;

impl PostgresServer {
    /// Starts a standby, which serves reads. From then on a commit of this server is acknowledged once the
    /// standby has it.
    pub async fn start_standby(&self) -> Self {
        let mut standby = Self::without_data();
        standby.inherit_settings(self);
        let mut copy = standby.program("pg_basebackup");
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
            .args(["--dbname", &self.url(), "--pgdata"])
            .arg(standby.data());
        run(copy);
        standby.launch().await;
        self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            .await;
        self.execute("SELECT pg_reload_conf()").await;
        standby
    }

    /// Makes this standby a primary.
    pub async fn promote(&self) {
        self.execute("SELECT pg_promote(true)").await;
    }

    /// Executes statements on a connection of its own.
    pub async fn execute(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.url()).await.expect("connect");
        let executed = sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await;
        executed.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}
