//! The one writer of the embedded queue. It takes all that waits, does it in one transaction and
//! answers after the commit (group commit). When one piece fails, the whole transaction is rolled
//! back and everybody in it is told, since every operation may be repeated.

use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::{mpsc, oneshot};

use crate::store::StoreError;

/// Pieces of work per transaction, and the length of the queue in front of the writer.
const MOST_PER_TRANSACTION: usize = 128;

type Work = Box<
    dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<Answer, sqlx::Error>>
        + Send,
>;
/// To be called once it is known whether the transaction was committed.
type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;

#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Work>,
}

impl Writer {
    /// Starts the writer; it ends when the last handle is dropped.
    pub(super) fn spawn(pool: SqlitePool) -> Self {
        let (queue, waiting) = mpsc::channel(MOST_PER_TRANSACTION);
        tokio::spawn(run(pool, waiting));
        Self { queue }
    }

    /// Does `work` in a transaction, maybe together with others'. `committed` is called with its
    /// answer as soon as it is durable, even when the caller does not wait for it any more.
    pub(super) async fn write<T, W>(
        &self,
        work: W,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>
            + Send
            + 'static,
    {
        let (answer, answered) = oneshot::channel::<Result<T, StoreError>>();
        let work: Work = Box::new(move |connection| {
            Box::pin(async move {
                let outcome = work(connection).await?;
                let deliver: Answer = Box::new(move |commit| {
                    let outcome = commit.map_err(StoreError::Unavailable).map(|()| outcome);
                    if let Ok(outcome) = &outcome {
                        committed(outcome);
                    }
                    // The caller may have gone away; the work is done all the same.
                    let _ = answer.send(outcome);
                });
                Ok(deliver)
            })
        });
        let gone = || StoreError::Unavailable("the transaction was rolled back".to_owned());
        self.queue.send(work).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn run(pool: SqlitePool, mut waiting: mpsc::Receiver<Work>) {
    let mut batch = Vec::with_capacity(MOST_PER_TRANSACTION);
    while waiting.recv_many(&mut batch, MOST_PER_TRANSACTION).await > 0 {
        if let Err(error) = commit(&pool, batch.drain(..)).await {
            tracing::warn!(%error, "a transaction of the embedded queue was rolled back");
        }
    }
}

async fn commit(pool: &SqlitePool, batch: impl Iterator<Item = Work>) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let mut answers = Vec::new();
    for work in batch {
        answers.push(work(&mut transaction).await?);
    }
    let outcome = transaction.commit().await;
    for answer in answers {
        answer(outcome.as_ref().copied().map_err(ToString::to_string));
    }
    outcome
}
