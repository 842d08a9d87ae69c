//! The Redis and the Postgres that all tests of a process share: those of `scripts/test`, or private ones
//! started at first use, whose watchdogs end them with the process. Tests are isolated by key prefix and by
//! database; a test that breaks a server starts its own.

use tokio::sync::OnceCell;
use ulid::Ulid;

use crate::{PostgresServer, RedisServer};

static REDIS: OnceCell<RedisServer> = OnceCell::const_new();
static POSTGRES: OnceCell<PostgresServer> = OnceCell::const_new();

/// URL of the shared Redis: `TEST_REDIS_URL`, or a server started for this process.
pub async fn shared_redis_url() -> String {
    match std::env::var("TEST_REDIS_URL") {
        Ok(url) => url,
        Err(_) => REDIS.get_or_init(RedisServer::start).await.url(),
    }
}

/// Superuser's URL of the shared Postgres: `TEST_POSTGRES_URL`, or a server started for this process. Most
/// tests use a [`TestDatabase`](crate::TestDatabase) on it.
pub async fn shared_postgres_url() -> String {
    match std::env::var("TEST_POSTGRES_URL") {
        Ok(url) => url,
        Err(_) => POSTGRES.get_or_init(PostgresServer::start).await.url(),
    }
}

/// Returns a new key prefix for one test on the shared Redis, such as `test-01jq…`.
pub fn unique_prefix() -> String {
    format!("test-{}", Ulid::generate()).to_lowercase()
}
