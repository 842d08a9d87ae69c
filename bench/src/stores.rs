//! A private Redis and a private database for one benchmark, as durable as in production.

use avalon_test_support::{PostgresServer, RedisServer, TestDatabase};
use clap::ValueEnum;

/// The database engine.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Postgres,
    Sqlite,
}

/// Redis and a database; dropping it removes both.
pub(crate) struct Stores {
    pub(crate) redis: RedisServer,
    pub(crate) database: TestDatabase,
    _postgres: Option<PostgresServer>,
}

impl Stores {
    /// Starts them.
    pub(crate) async fn start(engine: Engine) -> Self {
        let redis = RedisServer::start().await;
        let (postgres, database) = match engine {
            Engine::Sqlite => (None, TestDatabase::sqlite()),
            Engine::Postgres => {
                // As in production; tests run without.
                let mut server = PostgresServer::reserve()
                    .configured("fsync", "on")
                    .configured("full_page_writes", "on");
                server.launch().await;
                let database = TestDatabase::on_postgres(&server.url()).await;
                (Some(server), database)
            }
        };
        Self {
            redis,
            database,
            _postgres: postgres,
        }
    }
}
