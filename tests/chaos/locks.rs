//! Transactions that lock the rows of the service in the opposite order, so that Postgres ends some of the service's
//! with a deadlock, and others wait until their limit.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

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

/// Transactions that are repeated until they are ended.
pub(crate) struct Locks {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Locks {
    pub(crate) fn start(url: &str) -> Self {
        let (stop, url) = (CancellationToken::new(), url.to_owned());
        let running = tokio::spawn({
            let stop = stop.clone();
            async move {
                while !stop.is_cancelled() {
                    // What cannot be locked is left to the next transaction.
                    if let Err(error) = lock(&url).await {
                        println!("    locks: {error}");
                    }
                    sleep(PAUSE).await;
                }
            }
        });
        Self { stop, running }
    }

    /// Ends after the transaction that is running.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.running.await.expect("no panic");
    }
}

/// One transaction. It never detects a deadlock itself within the time of one step, so that the service's does.
async fn lock(url: &str) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
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
