//! Deleting old rows in batches, so that no transaction is long and no job takes for ever.

use avalon_queue::JobError;

/// Rows of each table per batch.
const BATCH: i64 = 1000;
/// Batches per job; the next job continues.
const BATCHES: usize = 100;

/// Deletes batches until one is not full; returns the number of deleted rows. `delete` gets the maximum size of a batch, and
/// returns the number of rows that it deleted.
pub(crate) async fn delete_in_batches<F, E>(
    delete: impl Fn(i64) -> F,
    failed: impl Fn(E) -> JobError,
) -> Result<u64, JobError>
where
    F: Future<Output = Result<u64, E>>,
{
    let mut deleted = 0;
    for _ in 0..BATCHES {
        let batch = delete(BATCH).await.map_err(&failed)?;
        deleted += batch;
        if batch < BATCH.unsigned_abs() {
            break;
        }
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    async fn deleted_of(rows: u64) -> (u64, usize) {
        let (left, calls) = (Cell::new(rows), Cell::new(0));
        let delete = |limit: i64| {
            let batch = left.get().min(limit.unsigned_abs());
            left.set(left.get() - batch);
            calls.set(calls.get() + 1);
            std::future::ready(Ok(batch))
        };
        let failed = |error: std::convert::Infallible| match error {};
        let deleted = delete_in_batches(delete, failed).await.unwrap();
        (deleted, calls.get())
    }

    #[tokio::test]
    async fn batches_are_deleted_until_one_is_not_full() {
        assert_eq!(deleted_of(0).await, (0, 1));
        assert_eq!(deleted_of(999).await, (999, 1));
        assert_eq!(deleted_of(2000).await, (2000, 3));
    }

    #[tokio::test]
    async fn one_job_deletes_a_hundred_batches() {
        assert_eq!(deleted_of(1_000_000).await, (100_000, 100));
    }
}
