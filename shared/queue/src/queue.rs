//! The producer's handle: enqueues jobs into any [`JobStore`], links them to the current trace and
//! counts them. Retries and timeouts are the caller's: enqueueing again with the same ids is safe.

use std::sync::Arc;

use crate::job::NewJob;
use crate::metrics::QueueMetrics;
use crate::store::{Enqueued, JobStore, StoreError};
use crate::trace;

/// Enqueues jobs. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    store: Arc<dyn JobStore>,
    metrics: QueueMetrics,
}

impl Queue {
    /// A handle to this store that counts in these metrics.
    pub fn new(store: Arc<dyn JobStore>, metrics: QueueMetrics) -> Self {
        Self { store, metrics }
    }

    /// The store, for everything other than enqueueing.
    pub fn store(&self) -> &Arc<dyn JobStore> {
        &self.store
    }

    /// The metrics in which jobs are counted.
    pub fn metrics(&self) -> &QueueMetrics {
        &self.metrics
    }

    /// Enqueues one job: a `&Job`, or a [`NewJob`] that was adjusted before.
    ///
    /// # Errors
    /// When the store is unavailable, or the job cannot be serialised
    /// ([`Payload`](crate::Payload)).
    pub async fn enqueue(&self, job: impl Into<NewJob>) -> Result<Enqueued, StoreError> {
        let enqueued = self.enqueue_all([job.into()]).await?;
        enqueued.first().copied().ok_or_else(|| {
            StoreError::Unexpected("no result for the job that was enqueued".to_owned())
        })
    }

    /// Enqueues jobs in one call to the store; the results are in the order of the jobs. A job
    /// without a trace context gets the current one. Only jobs that are new are counted.
    ///
    /// # Errors
    /// When the store is unavailable, or a job cannot be serialised ([`Payload`](crate::Payload)).
    pub async fn enqueue_all(
        &self,
        jobs: impl IntoIterator<Item = NewJob>,
    ) -> Result<Vec<Enqueued>, StoreError> {
        let mut jobs: Vec<NewJob> = jobs.into_iter().collect();
        if jobs.is_empty() {
            return Ok(vec![]);
        }
        let current = trace::current();
        for job in &mut jobs {
            if job.traceparent.is_none() {
                job.traceparent.clone_from(&current);
            }
        }
        let labels: Vec<_> = jobs
            .iter()
            .map(|job| (job.queue.clone(), job.kind.clone()))
            .collect();
        let enqueued = self.store.enqueue(jobs).await?;
        self.metrics.enqueued_of(&enqueued, &labels);
        Ok(enqueued)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use prometheus::Registry;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::job::{IdempotencyKey, Job, QueueName};
    use crate::retry::RetryPolicy;
    use crate::sqlite::Sqlite;

    const QUEUE: QueueName = QueueName::new("mail");

    #[derive(Serialize, Deserialize)]
    struct Mail {
        to: String,
    }

    impl Job for Mail {
        const QUEUE: QueueName = QUEUE;
        const KIND: &'static str = "mail";
        const RETRY: RetryPolicy = RetryPolicy::NEVER;
        const TIME_LIMIT: Duration = Duration::from_secs(1);
        type Output = ();

        fn key(&self) -> Option<IdempotencyKey> {
            Some(IdempotencyKey::new(&*self.to, Duration::from_secs(60)))
        }
    }

    fn mail(to: &str) -> Mail {
        Mail { to: to.to_owned() }
    }

    /// JSON has no maps with such keys.
    #[derive(Serialize, Deserialize)]
    struct Defective(BTreeMap<(u8, u8), u8>);

    impl Job for Defective {
        const QUEUE: QueueName = QUEUE;
        const KIND: &'static str = "defective";
        const RETRY: RetryPolicy = RetryPolicy::NEVER;
        const TIME_LIMIT: Duration = Duration::from_secs(1);
        type Output = ();
    }

    struct Scene {
        queue: Queue,
        registry: Registry,
        _folder: tempfile::TempDir,
    }

    impl Scene {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("queue.db");
            let store = Sqlite::open(&path, vec![QUEUE]).await.unwrap();
            let registry = Registry::new();
            let metrics = QueueMetrics::new(&registry).unwrap();
            Self {
                queue: Queue::new(Arc::new(store), metrics),
                registry,
                _folder: folder,
            }
        }

        /// `avalon_jobs_enqueued_total` over all its labels.
        fn counted(&self) -> f64 {
            let families = self.registry.gather();
            let family = families
                .iter()
                .find(|family| family.name() == "avalon_jobs_enqueued_total");
            family.map_or(0.0, |family| {
                let values = family.get_metric().iter();
                values.map(|metric| metric.get_counter().get_value()).sum()
            })
        }

        async fn ready(&self) -> u64 {
            self.queue.store().stats().await.unwrap()[0].ready
        }
    }

    #[tokio::test]
    async fn only_new_jobs_are_counted() {
        let scene = Scene::new().await;
        let first = scene.queue.enqueue(&mail("a")).await.unwrap();
        assert!(matches!(first, Enqueued::New(_)));
        let again = scene.queue.enqueue(&mail("a")).await.unwrap();
        assert_eq!(again, Enqueued::Existing(first.id()));
        assert_eq!(scene.counted(), 1.0);
        let jobs = ["a", "b", "c"].map(|to| NewJob::from_job(&mail(to)));
        let enqueued = scene.queue.enqueue_all(jobs).await.unwrap();
        assert_eq!(enqueued[0], Enqueued::Existing(first.id()));
        assert!(matches!(
            enqueued[1..],
            [Enqueued::New(_), Enqueued::New(_)]
        ));
        assert_eq!(scene.counted(), 3.0);
        assert_eq!(scene.ready().await, 3);
    }

    #[tokio::test]
    async fn no_jobs_are_no_call() {
        let scene = Scene::new().await;
        assert_eq!(scene.queue.enqueue_all([]).await.unwrap(), []);
    }

    #[tokio::test]
    async fn jobs_without_a_trace_get_the_current_one() {
        let scene = Scene::new().await;
        let current = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let own = "00-11111111111111111111111111111111-2222222222222222-01";
        let jobs = [
            NewJob::from_job(&mail("a")),
            NewJob::from_job(&mail("b")).traced(own),
        ];
        let ids = [jobs[0].id, jobs[1].id];
        trace::within(Some(current.to_owned()), scene.queue.enqueue_all(jobs))
            .await
            .unwrap();
        for (id, expected) in ids.into_iter().zip([current, own]) {
            let view = scene.queue.store().get(id).await.unwrap().unwrap();
            assert_eq!(view.traceparent.as_deref(), Some(expected));
        }
    }

    #[tokio::test]
    async fn unserialisable_job_is_refused_and_not_stored() {
        let scene = Scene::new().await;
        let defective = Defective(BTreeMap::from([((1, 2), 3)]));
        let jobs = [NewJob::from_job(&mail("a")), NewJob::from_job(&defective)];
        let refused = scene.queue.enqueue_all(jobs).await;
        let Err(StoreError::Unexpected(error)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(
            error,
            "the payload cannot be serialised: key must be a string"
        );
        assert_eq!(scene.counted(), 0.0);
        assert_eq!(scene.ready().await, 0);
    }
}
