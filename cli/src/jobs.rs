//! `avalon jobs`: accesses the queue directly, so it works while API and workers are down.

use crate::config::Config;
use avalon_core::base::iso_time::IsoTime;
use avalon_queue::{JobFilter, JobId, JobState, JobStore, JobView, QueueName};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::app::{known_queue, stores};
use crate::arguments::{JobsCommand, ListedStatus, Selection};
use crate::failure::Failure;
use crate::progress;

pub(crate) async fn run(config: &Config, command: JobsCommand) -> Result<(), Failure> {
    if let Some(queue) = command.queue() {
        known_queue("--queue", queue.as_str())?;
    }
    let redis = stores::redis(config)?;
    let store = stores::existing_store(config, redis.as_ref()).await?;
    let store = store.as_ref();
    match command {
        JobsCommand::List {
            queue,
            status,
            limit,
            json,
        } => list(store, queue, status.into(), limit, json).await,
        JobsCommand::Show { id, payload } => show(store, id, payload).await,
        JobsCommand::Retry(selection) => {
            let json = selection.json;
            let changed = change_selected(store, selection, |id| store.replay(id)).await?;
            report(changed, "enqueued again", json);
            Ok(())
        }
        JobsCommand::Purge(selection) => {
            let json = selection.json;
            let changed = change_selected(store, selection, |id| store.purge(id)).await?;
            report(changed, "deleted", json);
            Ok(())
        }
        JobsCommand::Stats { json } => stats(store, json).await,
    }
}

impl From<ListedStatus> for JobState {
    fn from(status: ListedStatus) -> Self {
        match status {
            ListedStatus::Queued => Self::Queued,
            ListedStatus::Running => Self::Running,
            ListedStatus::Retrying => Self::Retrying,
            ListedStatus::Dead => Self::Dead,
        }
    }
}

async fn list(
    store: &dyn JobStore,
    queue: Option<QueueName>,
    state: JobState,
    limit: usize,
    json: bool,
) -> Result<(), Failure> {
    let mut jobs = Vec::new();
    let mut filter = JobFilter {
        queue,
        state,
        cursor: None,
        limit,
    };
    while jobs.len() < limit {
        filter.limit = limit - jobs.len();
        let page = store.list(&filter).await?;
        jobs.extend(page.jobs);
        filter.cursor = page.next;
        if filter.cursor.is_none() {
            break;
        }
    }
    if json {
        let jobs: Vec<Value> = jobs.iter().map(|job| describe(job, false)).collect();
        println!("{}", serde_json::to_string_pretty(&jobs)?);
        return Ok(());
    }
    println!(
        "{:<26}  {:<14}  {:<12}  {:>8}  {:<20}  error",
        "id", "queue", "kind", "attempts", "since"
    );
    for job in &jobs {
        let since = time(job.finished_at.unwrap_or(job.enqueued_at));
        let error = job
            .error
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let attempts = format!("{}/{}", job.attempts, job.max_attempts);
        println!(
            "{}  {:<14}  {:<12}  {attempts:>8}  {since:<20}  {error}",
            job.id,
            job.queue.as_str(),
            job.kind
        );
    }
    Ok(())
}

async fn show(store: &dyn JobStore, id: JobId, payload: bool) -> Result<(), Failure> {
    let job = store.get(id).await?.ok_or(Failure::NoSuchJob(id))?;
    println!(
        "{}",
        serde_json::to_string_pretty(&describe(&job, payload))?
    );
    Ok(())
}

/// Returns a job as JSON. Omits the result, which may contain tokens.
fn describe(job: &JobView, payload: bool) -> Value {
    let mut value = json!({
        "jobId": job.id.to_string(),
        "queue": job.queue.as_str(),
        "kind": job.kind,
        "status": job.state,
        "attempts": job.attempts,
        "maxAttempts": job.max_attempts,
        "owner": job.owner,
        "enqueuedAt": time(job.enqueued_at),
        "dueAt": job.due_at.map(time),
        "finishedAt": job.finished_at.map(time),
        "error": job.error,
        "traceparent": job.traceparent,
    });
    if let (true, Some(payload), Some(fields)) = (payload, &job.payload, value.as_object_mut()) {
        let payload = serde_json::from_str(payload.get()).unwrap_or(Value::Null);
        fields.insert("payload".to_owned(), payload);
    }
    value
}

fn time(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(IsoTime::from_millisecond)
        .map_or_else(String::new, |time| time.to_string())
}

fn report(changed: usize, what: &str, as_json: bool) {
    match as_json {
        true => println!("{}", json!({"changed": changed})),
        false => println!("{changed} {what}"),
    }
}

/// Changes the selected dead letters; returns their number.
async fn change_selected<F>(
    store: &dyn JobStore,
    selection: Selection,
    change: impl Fn(JobId) -> F,
) -> Result<usize, Failure>
where
    F: Future<Output = Result<bool, avalon_queue::StoreError>>,
{
    let mut changed = 0;
    let started = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(u64::MAX);
    if !selection.all {
        for id in selection.ids {
            if !change(id).await? {
                return Err(Failure::NoSuchJob(id));
            }
            changed += 1;
        }
        return Ok(changed);
    }
    let mut filter = JobFilter {
        queue: selection.queue,
        state: JobState::Dead,
        cursor: None,
        limit: 1000,
    };
    let stats = store.stats().await?.into_iter();
    let chosen = stats.filter(|it| filter.queue.as_ref().is_none_or(|queue| it.queue == *queue));
    let bar = progress::steps(chosen.map(|it| it.dead).sum());
    loop {
        let page = store.list(&filter).await?;
        // Skips jobs that died since the start: one that is replayed and dies again would be replayed
        // endlessly.
        let old = page
            .jobs
            .into_iter()
            .filter(|job| job.finished_at.is_none_or(|at| at < started));
        for job in old {
            changed += usize::from(change(job.id).await?);
            bar.inc(1);
        }
        filter.cursor = page.next;
        if filter.cursor.is_none() {
            bar.finish_and_clear();
            return Ok(changed);
        }
    }
}

async fn stats(store: &dyn JobStore, json: bool) -> Result<(), Failure> {
    let all = store.stats().await?;
    if json {
        let all: Vec<Value> = all
            .iter()
            .map(|stats| {
                json!({
                    "queue": stats.queue.as_str(),
                    "ready": stats.ready,
                    "running": stats.running,
                    "scheduled": stats.scheduled,
                    "dead": stats.dead,
                    "oldestReadyMs": stats.oldest_ready_ms,
                })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    println!(
        "{:<16}{:>10}{:>10}{:>10}{:>10}{:>14}",
        "queue", "ready", "running", "scheduled", "dead", "oldest ready"
    );
    for stats in all {
        let oldest = format!("{} s", stats.oldest_ready_ms / 1000);
        println!(
            "{:<16}{:>10}{:>10}{:>10}{:>10}{oldest:>14}",
            stats.queue.as_str(),
            stats.ready,
            stats.running,
            stats.scheduled,
            stats.dead,
        );
    }
    Ok(())
}
