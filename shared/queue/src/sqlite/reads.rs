//! The statements of the embedded queue that only read.

use serde_json::value::RawValue;
use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};

use crate::job::{JobId, NewJob, QueueName, now_ms};
use crate::store::{JobFilter, JobState, JobView, Page, QueueStats, StoreError};

fn now() -> i64 {
    i64::try_from(now_ms()).unwrap_or(i64::MAX)
}

pub(super) async fn get(pool: &SqlitePool, id: JobId) -> Result<Option<JobView>, StoreError> {
    let row = sqlx::query(
        "SELECT id, queue, kind, body, state, attempts, max_attempts, owner, traceparent,
                enqueued_at, due_at, result, error, finished_at
         FROM jobs WHERE id = $1 AND (expires_at IS NULL OR expires_at > $2)",
    )
    .bind(id.to_string())
    .bind(now())
    .fetch_optional(pool)
    .await?;
    row.map(|row| view(&row)).transpose()
}

pub(super) async fn list(pool: &SqlitePool, filter: &JobFilter) -> Result<Page, StoreError> {
    let state = match filter.state {
        JobState::Queued | JobState::Retrying => "ready",
        JobState::Running => "leased",
        JobState::Dead => "dead",
        // Only their results are stored; the same rule in both engines.
        JobState::Succeeded | JobState::Rejected => {
            return Ok(Page {
                jobs: vec![],
                next: None,
            });
        }
    };
    let attempts = match filter.state {
        JobState::Queued => (0, 0),
        JobState::Retrying => (1, i64::from(u32::MAX)),
        _ => (0, i64::from(u32::MAX)),
    };
    let limit = filter.limit.clamp(1, 1000);
    // Ordered by id and so by time: concurrent changes do not shift pages.
    let rows = sqlx::query(
        "SELECT id, queue, kind, body, state, attempts, max_attempts, owner, traceparent,
                enqueued_at, due_at, result, error, finished_at
         FROM jobs
         WHERE state = $1 AND ($2 IS NULL OR queue = $2) AND attempts BETWEEN $3 AND $4 AND id > $5
         ORDER BY id LIMIT $6",
    )
    .bind(state)
    .bind(filter.queue.as_ref().map(QueueName::as_str))
    .bind(attempts.0)
    .bind(attempts.1)
    .bind(filter.cursor.as_deref().unwrap_or_default())
    .bind(i64::try_from(limit).unwrap_or(1000))
    .fetch_all(pool)
    .await?;
    let jobs = rows.iter().map(view).collect::<Result<Vec<_>, _>>()?;
    let next = (jobs.len() == limit)
        .then(|| jobs.last().map(|job| job.id.to_string()))
        .flatten();
    Ok(Page { jobs, next })
}

pub(super) async fn stats(
    pool: &SqlitePool,
    queues: &[QueueName],
) -> Result<Vec<QueueStats>, StoreError> {
    let mut all = Vec::with_capacity(queues.len());
    for queue in queues {
        let row = sqlx::query(
            "SELECT
               (SELECT count(*) FROM jobs WHERE queue = $1 AND state = 'ready' AND due_at <= $2),
               (SELECT count(*) FROM jobs WHERE queue = $1 AND state = 'leased'),
               (SELECT count(*) FROM jobs WHERE queue = $1 AND state = 'ready' AND due_at > $2),
               (SELECT count(*) FROM jobs WHERE queue = $1 AND state = 'dead'),
               (SELECT min(due_at) FROM jobs WHERE queue = $1 AND state = 'ready' AND due_at <= $2)",
        )
        .bind(queue.as_str())
        .bind(now())
        .fetch_one(pool)
        .await?;
        let count = |index: usize| -> Result<u64, sqlx::Error> {
            Ok(u64::try_from(row.try_get::<i64, _>(index)?).unwrap_or(0))
        };
        let oldest: Option<i64> = row.try_get(4)?;
        all.push(QueueStats {
            queue: queue.clone(),
            ready: count(0)?,
            running: count(1)?,
            scheduled: count(2)?,
            dead: count(3)?,
            oldest_ready_ms: oldest.map_or(0, |due| u64::try_from(now() - due).unwrap_or(0)),
        });
    }
    Ok(all)
}

fn view(row: &SqliteRow) -> Result<JobView, StoreError> {
    let broken = |what: &str| StoreError::Unexpected(format!("a job's row has {what}"));
    let attempts: u32 = row.try_get("attempts")?;
    let state = match (row.try_get::<String, _>("state")?.as_str(), attempts) {
        ("ready", 0) => JobState::Queued,
        ("ready", _) => JobState::Retrying,
        ("leased", _) => JobState::Running,
        ("succeeded", _) => JobState::Succeeded,
        ("rejected", _) => JobState::Rejected,
        ("dead", _) => JobState::Dead,
        _ => return Err(broken("no known state")),
    };
    let time = |value: i64| u64::try_from(value).unwrap_or(0);
    let result: Option<String> = row.try_get("result")?;
    let error: Option<String> = row.try_get("error")?;
    let body: Option<String> = row.try_get("body")?;
    let due_at = time(row.try_get("due_at")?);
    let waiting = matches!(state, JobState::Queued | JobState::Retrying) && due_at > now_ms();
    Ok(JobView {
        id: row
            .try_get::<String, _>("id")?
            .parse()
            .map_err(|_| broken("no valid job id"))?,
        queue: row
            .try_get::<String, _>("queue")?
            .parse()
            .map_err(|_| broken("no valid queue name"))?,
        kind: row.try_get("kind")?,
        state,
        attempts,
        max_attempts: row.try_get("max_attempts")?,
        owner: row.try_get("owner")?,
        enqueued_at: time(row.try_get("enqueued_at")?),
        finished_at: row.try_get::<Option<i64>, _>("finished_at")?.map(time),
        due_at: waiting.then_some(due_at),
        result: result
            .map(RawValue::from_string)
            .transpose()
            .map_err(|_| broken("no JSON result"))?,
        error: error.and_then(|error| serde_json::from_str(&error).ok()),
        traceparent: row.try_get("traceparent")?,
        payload: body
            .and_then(|body| serde_json::from_str::<NewJob>(&body).ok())
            .and_then(|job| job.payload.into_json()),
    })
}
