//! Workers, by hand: jobs are leased from the real queue and their real handlers run here, in the
//! test's own task, where they can be made to die between any two steps; and time passes when told to.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use avalon_core::jobs::QUEUES;
use avalon_queue::store::ReclaimPolicy;
use avalon_queue::{Handlers, JobFilter, JobState, JobStore, JobView, Leased, NewJob, Settlement};

use crate::shop::Shop;

/// The lease of a worker that has died is over after this.
const LEASE: Duration = Duration::from_secs(30);

/// When a worker dies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    /// After it has had to wait so often.
    pub(crate) after: u8,
    /// What it sent has this long to arrive and to take effect.
    pub(crate) lingers_ms: u8,
}

/// Lets others get in between the steps of some work, and may end it between two of them. Whatever it
/// has sent or committed by then stays. None: it has died.
pub(crate) async fn live<T>(
    work: impl Future<Output = T>,
    death: Option<Death>,
    mut dice: fastrand::Rng,
) -> Option<T> {
    let mut work = Box::pin(work);
    let mut waits = 0;
    let done = poll_fn(|context| {
        if dice.u8(0..3) == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => {
                waits += 1;
                match death.is_some_and(|death| waits >= death.after) {
                    true => Poll::Ready(None),
                    false => Poll::Pending,
                }
            }
        }
    })
    .await;
    if let (None, Some(death)) = (&done, death) {
        tokio::time::sleep(Duration::from_millis(death.lingers_ms.into())).await;
    }
    done
}

impl Shop {
    /// Leases all jobs that are due.
    pub(crate) async fn take_jobs(&self) -> Vec<Leased> {
        let mut taken = Vec::new();
        for queue in &QUEUES {
            for lane in self.store.lanes(queue) {
                let some = self.store.lease(&lane, "by hand", 100, Duration::ZERO);
                taken.extend(some.await.unwrap());
            }
        }
        taken
    }

    /// Does a job as a worker does, to the end.
    pub(crate) async fn work(&self, handlers: &Handlers, leased: Leased) {
        let settle = handlers.attempt(&leased).await;
        let settlement = Settlement { leased, settle };
        self.store.settle(&[settlement]).await.unwrap();
    }

    /// Does all jobs that are due, and those that follow from them at once.
    pub(crate) async fn work_all(&self, handlers: &Handlers) {
        loop {
            let jobs = self.take_jobs().await;
            if jobs.is_empty() {
                return;
            }
            for leased in jobs {
                self.work(handlers, leased).await;
            }
        }
    }

    /// Works until each callback in the inbox has an outcome.
    pub(crate) async fn judge_callbacks(&self, handlers: &Handlers) {
        let open = "SELECT count(*) FROM inbox WHERE outcome IS NULL";
        while self.count(open).await > 0 {
            // The door makes a job of one after it has answered.
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.work_all(handlers).await;
        }
    }

    /// What a `SELECT count(*)` finds.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        let count = sqlx::query_scalar(sql).fetch_one(self.database.pool());
        count.await.unwrap()
    }

    /// Has a job done, with all that is due, and answers what became of it.
    pub(crate) async fn done(&self, handlers: &Handlers, job: NewJob) -> JobView {
        let id = self.store.enqueue(vec![job]).await.unwrap()[0].id();
        self.work_all(handlers).await;
        self.store.get(id).await.unwrap().unwrap()
    }

    /// The lease of a job is over, and the job is somebody else's.
    pub(crate) async fn lose_lease(&self, leased: &Leased) {
        sqlx::query("UPDATE jobs SET renewed_at = 0 WHERE id = $1 AND state = 'leased'")
            .bind(leased.job.id.to_string())
            .execute(&self.queue_file)
            .await
            .unwrap();
        let policy = ReclaimPolicy {
            lease_timeout: LEASE,
            max_lost_leases: 5,
        };
        let lane = &leased.lease.lane;
        self.store.reclaim(lane, &policy).await.unwrap();
    }

    /// Time passes: everything that the tables say of time is so much older.
    pub(crate) async fn pass(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).unwrap();
        for sql in [
            "UPDATE orders SET expires_at = expires_at - $1, prepaid_at = prepaid_at - $1,
                               submitted_at = submitted_at - $1,
                               next_check_at = next_check_at - $1
             WHERE next_check_at IS NOT NULL OR submitted_at > 0",
            "UPDATE refunds SET next_check_at = next_check_at - $1
             WHERE next_check_at IS NOT NULL",
            "UPDATE fulfilments SET created_at = created_at - $1, enqueued_at = enqueued_at - $1
             WHERE delivered_at IS NULL",
        ] {
            let update = sqlx::query(sql).bind(ms);
            update.execute(self.database.pool()).await.unwrap();
        }
        // Bounded, for with it grow old the signatures of callbacks that nobody could judge yet.
        sqlx::query("UPDATE inbox SET received_at = received_at - $1 WHERE outcome IS NULL")
            .bind(ms.min(5_000))
            .execute(self.database.pool())
            .await
            .unwrap();
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

    /// The queue loses everything.
    pub(crate) async fn flush_queue(&self) {
        for sql in ["DELETE FROM jobs", "DELETE FROM idempotency_keys"] {
            sqlx::query(sql).execute(&self.queue_file).await.unwrap();
        }
    }

    /// Jobs in one state.
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
