//! A worker under the test's control: jobs are leased from the real queue and the real handlers run in
//! the test's own task, where they can crash between any two steps. Time advances on request.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use avalon_queue::store::ReclaimPolicy;
use avalon_queue::{
    Handlers, IdempotencyKey, Job, JobFilter, JobState, JobStore, JobView, Leased, NewJob,
};
use avalon_tests::app;
use avalon_workers::Sweep;

use crate::shop::Shop;

/// The lease of a crashed worker expires after this.
const LEASE_TIMEOUT: Duration = Duration::from_secs(30);

/// When a worker crashes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crash {
    /// Number of times its future has returned `Pending` by then.
    pub(crate) after: u8,
    /// Time for requests already sent to arrive and take effect, milliseconds.
    pub(crate) lingers_ms: u8,
}

/// Runs `work`, yields to other tasks at random between its steps, and may crash it between two of them.
/// What was sent or committed by then stays. Returns `None` after a crash.
pub(crate) async fn interleave<T>(
    work: impl Future<Output = T>,
    crash: Option<Crash>,
    mut rng: fastrand::Rng,
) -> Option<T> {
    let mut work = Box::pin(work);
    let mut waits = 0;
    let done = poll_fn(|context| {
        if rng.u8(0..3) == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => {
                waits += 1;
                match crash.is_some_and(|crash| waits >= crash.after) {
                    true => Poll::Ready(None),
                    false => Poll::Pending,
                }
            }
        }
    })
    .await;
    if let (None, Some(crash)) = (&done, crash) {
        tokio::time::sleep(Duration::from_millis(crash.lingers_ms.into())).await;
    }
    done
}

/// A sweep that may run again at once.
pub(crate) fn sweep() -> NewJob {
    let key = IdempotencyKey::new(Sweep::KIND, Duration::from_millis(1));
    NewJob::from_job(&Sweep {}).once_per(key)
}

impl Shop {
    /// Leases all due jobs.
    pub(crate) async fn lease_jobs(&self) -> Vec<Leased> {
        app::lease_due(&*self.store).await
    }

    /// Runs a leased job and settles it, as a worker does.
    pub(crate) async fn run_leased(&self, handlers: &Handlers, leased: Leased) {
        app::run_leased(&*self.store, handlers, leased).await;
    }

    /// Runs all due jobs, including those that they enqueue without delay.
    pub(crate) async fn run_due_jobs(&self, handlers: &Handlers) {
        app::run_due(&*self.store, handlers).await;
    }

    /// Runs jobs until each callback in the inbox has an outcome.
    pub(crate) async fn process_callbacks(&self, handlers: &Handlers) {
        let open = "SELECT count(*) FROM inbox WHERE outcome IS NULL";
        while self.count(open).await > 0 {
            // The endpoint enqueues the job after it has responded.
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.run_due_jobs(handlers).await;
        }
    }

    /// Returns the result of a `SELECT count(*)`.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        let count = sqlx::query_scalar(sql).fetch_one(self.database.pool());
        count.await.unwrap()
    }

    /// Enqueues a job, runs everything that is due and returns the job's state.
    pub(crate) async fn run_job(&self, handlers: &Handlers, job: NewJob) -> JobView {
        let id = self.store.enqueue(vec![job]).await.unwrap()[0].id();
        self.run_due_jobs(handlers).await;
        self.store.get(id).await.unwrap().unwrap()
    }

    /// Expires the lease of a job and reclaims it, so that another worker may lease it.
    pub(crate) async fn expire_lease(&self, leased: &Leased) {
        sqlx::query("UPDATE jobs SET renewed_at = 0 WHERE id = $1 AND state = 'leased'")
            .bind(leased.job.id.to_string())
            .execute(&self.queue_file)
            .await
            .unwrap();
        let policy = ReclaimPolicy {
            lease_timeout: LEASE_TIMEOUT,
            max_lost_leases: 5,
        };
        let lane = &leased.lease.lane;
        self.store.reclaim(lane, &policy).await.unwrap();
    }

    /// Advances time by moving all timestamps in the tables into the past.
    pub(crate) async fn advance_time(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap();
        for sql in [
            "UPDATE orders SET expires_at = expires_at - $1, prepaid_at = prepaid_at - $1,
                               submitted_at = submitted_at - $1,
                               next_check_at = next_check_at - $1
             WHERE next_check_at IS NOT NULL OR submitted_at > 0",
            "UPDATE refunds SET next_check_at = next_check_at - $1
             WHERE next_check_at IS NOT NULL",
            "UPDATE fulfilments SET created_at = created_at - $1, enqueued_at = enqueued_at - $1
             WHERE delivered_at IS NULL",
            "UPDATE coin_changes SET sent_at = sent_at - $1, next_try_at = next_try_at - $1
             WHERE state = 'pending'",
        ] {
            let update = sqlx::query(sql).bind(ms);
            update.execute(self.database.pool()).await.unwrap();
        }
        // Bounded: the signatures of unprocessed callbacks age with it and must not become stale.
        for sql in [
            "UPDATE inbox SET received_at = received_at - $1 WHERE outcome IS NULL",
            "UPDATE pushes SET received_at = received_at - $1 WHERE outcome IS NULL",
        ] {
            let update = sqlx::query(sql).bind(ms.min(5_000));
            update.execute(self.database.pool()).await.unwrap();
        }
        for sql in [
            "UPDATE jobs SET due_at = due_at - $1 WHERE state = 'ready'",
            "UPDATE jobs SET expires_at = expires_at - $1 WHERE expires_at IS NOT NULL",
            "UPDATE idempotency_keys SET expires_at = expires_at - $1
             WHERE expires_at IS NOT NULL",
        ] {
            let update = sqlx::query(sql).bind(ms);
            update.execute(&self.queue_file).await.unwrap();
        }
    }

    /// Deletes all jobs and idempotency keys of the queue.
    pub(crate) async fn flush_queue(&self) {
        for sql in ["DELETE FROM jobs", "DELETE FROM idempotency_keys"] {
            sqlx::query(sql).execute(&self.queue_file).await.unwrap();
        }
    }

    /// Lists the jobs in one state.
    pub(crate) async fn jobs(&self, state: JobState) -> Vec<JobView> {
        let filter = JobFilter {
            queue: None,
            state,
            cursor: None,
            limit: 1000,
        };
        self.store.list(&filter).await.unwrap().jobs
    }
}
