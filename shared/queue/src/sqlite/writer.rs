//! The single writer of the embedded queue. It runs all pending operations in one transaction and
//! returns their results after the commit (group commit). If one operation fails, the transaction is
//! rolled back and all its callers get an error, since every operation may be repeated. The connection is then
//! closed: after a failed COMMIT or ROLLBACK (a full disk, say) SQLite and the driver may disagree whether it is
//! in a transaction, and it would fail for good.

use futures_util::future::BoxFuture;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};

use crate::store::StoreError;

/// Maximum number of operations per transaction, and capacity of the writer's channel.
const MAX_PER_TRANSACTION: usize = 128;

type Operation = Box<
    dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<Finish, sqlx::Error>>
        + Send,
>;
/// Called with the result of the commit.
type Finish = Box<dyn FnOnce(Result<(), String>) + Send>;

#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Operation>,
}

impl Writer {
    /// Spawns the writer; it ends when the last handle is dropped.
    pub(super) fn spawn(pool: SqlitePool) -> Self {
        let (queue, pending) = mpsc::channel(MAX_PER_TRANSACTION);
        tokio::spawn(run(pool, pending));
        Self { queue }
    }

    /// Runs an operation in a transaction that it may share with others. `committed` is called with
    /// its result once that is durable, even if the caller has been cancelled.
    pub(super) async fn write<T, W>(
        &self,
        operation: W,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>
            + Send
            + 'static,
    {
        let (sender, receiver) = oneshot::channel::<Result<T, StoreError>>();
        let operation: Operation = Box::new(move |connection| {
            Box::pin(async move {
                let result = operation(connection).await?;
                let finish: Finish = Box::new(move |commit| {
                    let result = commit.map_err(StoreError::Unavailable).map(|()| result);
                    if let Ok(result) = &result {
                        committed(result);
                    }
                    // Fails if the caller was cancelled; the operation took effect anyway.
                    let _ = sender.send(result);
                });
                Ok(finish)
            })
        });
        let rolled_back = || StoreError::Unavailable("the transaction was rolled back".to_owned());
        self.queue
            .send(operation)
            .await
            .map_err(|_| rolled_back())?;
        receiver.await.map_err(|_| rolled_back())?
    }
}

async fn run(pool: SqlitePool, mut pending: mpsc::Receiver<Operation>) {
    let mut batch = Vec::with_capacity(MAX_PER_TRANSACTION);
    while pending.recv_many(&mut batch, MAX_PER_TRANSACTION).await > 0 {
        if let Err(error) = commit(&pool, batch.drain(..)).await {
            tracing::warn!(%error, "embedded queue transaction rolled back");
        }
    }
}

async fn commit(
    pool: &SqlitePool,
    batch: impl Iterator<Item = Operation>,
) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let committed = commit_on(&mut connection, batch).await;
    if committed.is_err() {
        // What the close reports is no better known than the transaction's state.
        let _ = connection.close().await;
    }
    committed
}

async fn commit_on(
    connection: &mut SqliteConnection,
    batch: impl Iterator<Item = Operation>,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut finishes = Vec::new();
    for operation in batch {
        finishes.push(operation(&mut transaction).await?);
    }
    let committed = transaction.commit().await;
    for finish in finishes {
        finish(committed.as_ref().copied().map_err(ToString::to_string));
    }
    committed
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

    use super::*;

    async fn insert(writer: &Writer, sql: &'static str) -> Result<u64, StoreError> {
        writer
            .write(
                move |connection| {
                    Box::pin(async move {
                        let done = sqlx::query(sql).execute(connection).await?;
                        Ok(done.rows_affected())
                    })
                },
                |_| {},
            )
            .await
    }

    #[tokio::test]
    async fn failed_commit_does_not_fail_later_ones() {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("queue.db"))
            .create_if_missing(true);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(5))
            .connect_with(options)
            .await
            .unwrap();
        // A commit that fails leaves the transaction open, as a full disk does.
        sqlx::raw_sql(
            "CREATE TABLE jobs (id INT PRIMARY KEY);
             CREATE TABLE remarks (job INT REFERENCES jobs (id) DEFERRABLE INITIALLY DEFERRED)",
        )
        .execute(&pool)
        .await
        .unwrap();
        let writer = Writer::spawn(pool);
        for _ in 0..3 {
            let failed = insert(&writer, "INSERT INTO remarks VALUES (7)").await;
            assert!(
                matches!(failed, Err(StoreError::Unavailable(_))),
                "{failed:?}"
            );
            let next = "INSERT INTO jobs SELECT coalesce(max(id), 0) + 1 FROM jobs WHERE id < 7";
            assert_eq!(insert(&writer, next).await.unwrap(), 1);
        }
    }

    #[tokio::test]
    async fn full_file_fails_writes_only_while_it_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("queue.db"))
            .create_if_missing(true);
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await
            .unwrap();
        sqlx::raw_sql("CREATE TABLE jobs (body BLOB); PRAGMA max_page_count = 3")
            .execute(&pool)
            .await
            .unwrap();
        let writer = Writer::spawn(pool);
        let large = "INSERT INTO jobs VALUES (zeroblob(100000))";
        assert!(insert(&writer, large).await.is_err());
        // The limit was the connection's, which is closed.
        assert_eq!(insert(&writer, large).await.unwrap(), 1);
    }
}
