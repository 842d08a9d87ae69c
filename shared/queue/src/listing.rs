//! apalis's listing traits over any [`JobStore`], for apalis-board: a read-only view of queues, workers
//! and jobs. It neither leases nor accepts jobs, and omits payloads and results, which may hold
//! personal data of players.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use apalis_core::backend::codec::Codec;
use apalis_core::backend::finalize::Durable;
use apalis_core::backend::{
    Backend, BackendConfig, FetchById, Filter, ListAllTasks, ListQueues, ListTasks, ListWorkers,
    Metrics, QueueInfo, RunningWorker, StatType, Statistic, WireFormatBackend,
};
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::metadata::MetadataStore;
use apalis_core::task::status::Status;
use apalis_core::task::task_id::TaskId;
use apalis_core::worker::context::WorkerContext;
use futures_util::Sink;
use serde_json::{Value, json};
use tower::layer::util::Identity;

use crate::job::{JobId, QueueName, now_ms};
use crate::store::{Consumer, JobFilter, JobState, JobStore, JobView, QueueStats, StoreError};

/// Maximum number of jobs on a page.
const MAX_PAGE_SIZE: usize = 200;
/// Maximum offset of a page's end. The store has no offsets: everything before a page is read too.
const MAX_OFFSET: usize = 10_000;

/// The board's view of one queue, with the lists over all queues.
#[derive(Clone)]
pub struct Listing {
    store: Arc<dyn JobStore>,
    queue: QueueName,
    codec: IdentityCodec,
}

impl Listing {
    /// Creates the view of a queue.
    pub fn new(store: Arc<dyn JobStore>, queue: QueueName) -> Self {
        Self {
            store,
            queue,
            codec: IdentityCodec,
        }
    }

    async fn jobs(
        &self,
        queue: Option<&QueueName>,
        filter: &Filter,
    ) -> Result<Vec<Task<Value>>, StoreError> {
        let size = filter.page_size.map_or(10, |size| size as usize);
        let size = size.clamp(1, MAX_PAGE_SIZE);
        let before = (filter.page.max(1) as usize - 1).saturating_mul(size);
        let end = before.saturating_add(size).min(MAX_OFFSET);
        let mut jobs = Vec::new();
        for state in states(filter.status.as_ref()) {
            let mut wanted = JobFilter {
                queue: queue.cloned(),
                state: *state,
                cursor: None,
                limit: 0,
            };
            while jobs.len() < end {
                wanted.limit = (end - jobs.len()).min(1000);
                let page = self.store.list(&wanted).await?;
                jobs.extend(page.jobs);
                wanted.cursor = page.next;
                if wanted.cursor.is_none() {
                    break;
                }
            }
        }
        Ok(jobs.iter().skip(before).take(size).map(task).collect())
    }

    async fn queue_stats(&self) -> Result<Vec<QueueStats>, StoreError> {
        self.store.stats().await
    }
}

/// The job states that an apalis status stands for. Jobs that succeeded are not listed.
fn states(status: Option<&Status>) -> &'static [JobState] {
    match status {
        // What needs an operator comes first.
        None => &[
            JobState::Dead,
            JobState::Running,
            JobState::Retrying,
            JobState::Queued,
        ],
        Some(Status::Pending) => &[JobState::Retrying, JobState::Queued],
        Some(Status::Running) => &[JobState::Running],
        Some(Status::Killed) => &[JobState::Dead],
        Some(_) => &[],
    }
}

fn status(state: JobState) -> Status {
    match state {
        JobState::Queued | JobState::Retrying => Status::Pending,
        JobState::Running => Status::Running,
        JobState::Rejected => Status::Failed,
        JobState::Succeeded => Status::Done,
        JobState::Dead => Status::Killed,
    }
}

/// The job as an apalis task, without payload and result.
fn task(job: &JobView) -> Task<Value> {
    let args = json!({
        "kind": job.kind,
        "state": job.state,
        "error": job.error,
        "payload": "omitted; run avalon jobs show ID --payload",
    });
    let metadata = [
        ("kind", Some(job.kind.clone())),
        ("owner", job.owner.clone()),
        ("traceparent", job.traceparent.clone()),
        ("error", job.error.as_ref().map(ToString::to_string)),
    ];
    let metadata = metadata
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    TaskBuilder::new(args)
        .task_id(TaskId::from_string(job.id.to_string()))
        .status(status(job.state))
        .attempt(job.attempts as usize)
        .max_attempts(job.max_attempts as usize)
        .queue(job.queue.as_str().into())
        .run_at_timestamp(job.due_at.unwrap_or(job.enqueued_at) / 1000)
        .done_at(job.finished_at.map(|ms| ms / 1000))
        .with_metadata(MetadataStore::from_map(metadata.collect()))
        .build()
}

/// The statistics by the titles that the board knows; it also derives the number of rows of a list
/// from them. Jobs that succeeded are not stored and so not counted; metrics count them.
fn statistics(stats: &[QueueStats]) -> Vec<Statistic> {
    let sum = |read: fn(&QueueStats) -> u64| stats.iter().map(read).sum::<u64>();
    let rows = [
        ("PENDING_JOBS", sum(|it| it.ready + it.scheduled)),
        ("RUNNING_JOBS", sum(|it| it.running)),
        ("KILLED_JOBS", sum(|it| it.dead)),
        (
            "TOTAL_JOBS",
            sum(|it| it.ready + it.scheduled + it.running + it.dead),
        ),
    ];
    let row = |(priority, (title, value)): (u64, (&str, u64))| Statistic {
        title: title.to_owned(),
        stat_type: StatType::Number,
        value: value.to_string(),
        priority: Some(priority),
    };
    (1..).zip(rows).map(row).collect()
}

fn worker(consumer: Consumer) -> RunningWorker {
    // A consumer's name ends with a ULID, whose timestamp is the start of the pool.
    let id = consumer.name.rsplit('-').next().unwrap_or_default();
    let started_at = id.parse::<JobId>().map_or(0, |id| id.ulid().timestamp_ms());
    let silent = u64::try_from(consumer.silent.as_millis()).unwrap_or(u64::MAX);
    RunningWorker {
        queue: consumer.queue.to_string(),
        id: consumer.name,
        backend: "avalon".to_owned(),
        started_at: started_at / 1000,
        last_heartbeat: now_ms().saturating_sub(silent) / 1000,
        layers: String::new(),
    }
}

impl Backend for Listing {
    type Task = Task<Value>;
    type Error = StoreError;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), StoreError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Task<Value>, StoreError>>> {
        Poll::Ready(None)
    }

    fn poll_close(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), StoreError>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for Listing {
    type Args = Value;
    type Id = String;
    type Kind = Durable;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}

/// The listed values are JSON already.
#[derive(Clone, Copy)]
pub struct IdentityCodec;

impl Codec<Value> for IdentityCodec {
    type Error = serde_json::Error;
    type Compact = Value;

    fn encode(&self, value: &Value) -> Result<Value, serde_json::Error> {
        Ok(value.clone())
    }

    fn decode(&self, value: &Value) -> Result<Value, serde_json::Error> {
        Ok(value.clone())
    }
}

impl WireFormatBackend for Listing {
    type Codec = IdentityCodec;
    type Compact = Value;

    fn codec(&self) -> &IdentityCodec {
        &self.codec
    }
}

impl ListQueues for Listing {
    async fn list_queues(&self) -> Result<Vec<QueueInfo>, StoreError> {
        let consumers = self.store.consumers().await?;
        let stats = self.queue_stats().await?;
        let info = |stats: &QueueStats| QueueInfo {
            name: stats.queue.to_string(),
            stats: statistics(std::slice::from_ref(stats)),
            workers: consumers
                .iter()
                .filter(|it| it.queue == stats.queue)
                .map(|it| it.name.clone())
                .collect(),
            // Finished jobs are not stored; metrics count them.
            activity: vec![],
        };
        Ok(stats.iter().map(info).collect())
    }
}

impl ListWorkers for Listing {
    async fn list_workers(&self) -> Result<Vec<RunningWorker>, StoreError> {
        let all = self.store.consumers().await?.into_iter();
        Ok(all
            .filter(|it| it.queue == self.queue)
            .map(worker)
            .collect())
    }

    async fn list_all_workers(&self) -> Result<Vec<RunningWorker>, StoreError> {
        let all = self.store.consumers().await?;
        Ok(all.into_iter().map(worker).collect())
    }
}

impl ListTasks for Listing {
    async fn list_tasks(&self, filter: &Filter) -> Result<Vec<Task<Value>>, StoreError> {
        self.jobs(Some(&self.queue), filter).await
    }
}

impl ListAllTasks for Listing {
    async fn list_all_tasks(&self, filter: &Filter) -> Result<Vec<Task<Value>>, StoreError> {
        self.jobs(None, filter).await
    }
}

impl Metrics for Listing {
    async fn global(&self) -> Result<Vec<Statistic>, StoreError> {
        Ok(statistics(&self.queue_stats().await?))
    }

    async fn fetch_by_queue(&self) -> Result<Vec<Statistic>, StoreError> {
        let mut stats = self.queue_stats().await?;
        stats.retain(|stats| stats.queue == self.queue);
        Ok(statistics(&stats))
    }
}

impl FetchById for Listing {
    async fn fetch_by_id(&mut self, id: &TaskId) -> Result<Option<Task<Value>>, StoreError> {
        let Ok(id) = id.to_string().parse() else {
            return Ok(None);
        };
        let job = self.store.get(id).await?;
        let here = job.filter(|job| job.queue == self.queue);
        Ok(here.as_ref().map(task))
    }
}

fn read_only() -> StoreError {
    StoreError::Unexpected("the board cannot enqueue jobs".to_owned())
}

/// The board's interface requires a sink for new jobs. This one refuses them: only the service
/// enqueues jobs.
impl Sink<Task<Value>> for Listing {
    type Error = StoreError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        Poll::Ready(Err(read_only()))
    }

    fn start_send(self: Pin<&mut Self>, _: Task<Value>) -> Result<(), StoreError> {
        Err(read_only())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        Poll::Ready(Ok(()))
    }
}
