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
