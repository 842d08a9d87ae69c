//! Transactions that lock the rows of the service in the opposite order, so that Postgres ends some of the service's
//! with a deadlock, and others wait until their limit.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// The service changes an order first, then what the player owns and the stock; players last of all are read by
/// foreign keys. Here it is the other way round, and the ids descend.
const LOCKS: [&str; 4] = [
    "SELECT 1 FROM users ORDER BY id DESC LIMIT 20 FOR UPDATE",
    "SELECT 1 FROM products ORDER BY id DESC FOR UPDATE",
    "SELECT 1 FROM inventory ORDER BY user_id DESC, product_id DESC LIMIT 40 FOR UPDATE",
    "SELECT 1 FROM orders WHERE status IN ('pending', 'paid') ORDER BY id DESC LIMIT 40 FOR UPDATE",
];
/// Time between two locks, in which others take theirs.
const STEP: Duration = Duration::from_millis(150);
/// Time for which all locks are held.
const HELD: Duration = Duration::from_millis(500);
/// Time between two transactions.
const PAUSE: Duration = Duration::from_millis(200);

/// Marks the connection, so that it can be ended while it waits.
const NAME: &str = "chaos-locks";

/// Transactions that are repeated until they are ended.
pub(crate) struct Locks {
    url: String,
    running: JoinHandle<()>,
}

impl Locks {
    pub(crate) fn start(url: &str) -> Self {
        let url = url.to_owned();
        let running = tokio::spawn({
            let url = url.clone();
            async move {
                loop {
                    // What cannot be locked is left to the next transaction.
                    if let Err(error) = lock(&url).await {
                        println!("    locks: {error}");
                    }
                    sleep(PAUSE).await;
                }
            }
        });
        Self { url, running }
    }

    /// Ends the transaction that is running.
    pub(crate) async fn end(self) {
        self.running.abort();
        let end =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
        let mut connection = PgConnection::connect(&self.url).await.expect("connect");
        let ended = sqlx::query(end).bind(NAME).execute(&mut connection).await;
        ended.expect("end the transaction");
    }
}

/// One transaction. It never detects a deadlock itself within the time of one step, so that the service's does.
async fn lock(url: &str) -> sqlx::Result<()> {
    let options = PgConnectOptions::from_str(url)?.application_name(NAME);
    let mut connection = PgConnection::connect_with(&options).await?;
    sqlx::raw_sql("SET deadlock_timeout = '5s'; SET lock_timeout = '4s'")
        .execute(&mut connection)
        .await?;
    let mut transaction = connection.begin().await?;
    for sql in LOCKS {
        sqlx::query(sql).execute(&mut *transaction).await?;
        sleep(STEP).await;
    }
    sleep(HELD).await;
    transaction.rollback().await
}
