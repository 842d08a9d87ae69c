//! The statements of the embedded queue that write. Each function runs inside a transaction of the
//! writer.

use std::sync::Arc;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqliteRow};

use crate::job::{Failure, JobId, NewJob, QueueName, millis, now_ms};
use crate::store::{
    Enqueued, Lane, Lease, Leased, ReclaimPolicy, Reclaimed, Settle, Settled, Settlement,
    StoreError,
};

/// Maximum number of rows that each statement of [`reclaim`] changes.
const BATCH: i64 = 500;

/// Creates the tables in a new file; rejects a file of a newer version.
pub(super) async fn prepare(pool: &SqlitePool) -> Result<(), StoreError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *transaction)
        .await?;
    match version {
        0 => {
            sqlx::raw_sql(include_str!("schema.sql"))
                .execute(&mut *transaction)
                .await?;
            sqlx::raw_sql("PRAGMA user_version = 1")
                .execute(&mut *transaction)
                .await?;
        }
        1 => {}
        newer => {
            return Err(StoreError::Unexpected(format!(
                "the file of the embedded queue has version {newer}; this release supports version 1"
            )));
        }
    }
    Ok(transaction.commit().await?)
}

/// SQLite's integers are signed.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn encode(value: &impl serde::Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

/// Inserts jobs, each with its serialised envelope.
pub(super) async fn enqueue(
    connection: &mut SqliteConnection,
    jobs: Vec<(NewJob, String)>,
) -> Result<Vec<Enqueued>, sqlx::Error> {
    let now = now_ms();
    let mut results = Vec::with_capacity(jobs.len());
    for (job, body) in jobs {
        results.push(match existing(connection, &job, now).await? {
            Some(id) => Enqueued::Existing(id),
            None => {
                insert(connection, &job, &body, now).await?;
                Enqueued::New(job.id)
            }
        });
    }
    Ok(results)
}

/// Finds the job with the same id, or the one that holds the idempotency key.
async fn existing(
    connection: &mut SqliteConnection,
    job: &NewJob,
    now: u64,
) -> Result<Option<JobId>, sqlx::Error> {
    let same: Option<i64> = sqlx::query_scalar("SELECT 1 FROM jobs WHERE id = $1")
        .bind(job.id.to_string())
        .fetch_optional(&mut *connection)
        .await?;
    if same.is_some() {
        return Ok(Some(job.id));
    }
    let Some(key) = &job.idempotency else {
        return Ok(None);
    };
    let holder: Option<String> = sqlx::query_scalar(
        "SELECT k.job_id FROM idempotency_keys k JOIN jobs j ON j.id = k.job_id
         WHERE k.queue = $1 AND k.key = $2 AND (k.expires_at IS NULL OR k.expires_at > $3)",
    )
    .bind(job.queue.as_str())
    .bind(&key.key)
    .bind(int(now))
    .fetch_optional(&mut *connection)
    .await?;
    Ok(holder.and_then(|id| id.parse().ok()))
}

async fn insert(
    connection: &mut SqliteConnection,
    job: &NewJob,
    body: &str,
    now: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO jobs (id, queue, kind, body, state, max_attempts, owner, traceparent,
                           enqueued_at, due_at, dead_ttl_ms)
         VALUES ($1, $2, $3, $4, 'ready', $5, $6, $7, $8, $9, $10)",
    )
    .bind(job.id.to_string())
    .bind(job.queue.as_str())
    .bind(&job.kind)
    .bind(body)
    .bind(job.max_attempts)
    .bind(&job.owner)
    .bind(&job.traceparent)
    .bind(int(job.enqueued_at))
    .bind(int(now.saturating_add(job.delay_ms)))
    .bind(int(job.dead_ttl_ms))
    .execute(&mut *connection)
    .await?;
    if let Some(key) = &job.idempotency {
        sqlx::query(
            "INSERT INTO idempotency_keys (queue, key, job_id) VALUES ($1, $2, $3)
             ON CONFLICT (queue, key) DO UPDATE SET job_id = excluded.job_id, expires_at = NULL",
        )
        .bind(job.queue.as_str())
        .bind(&key.key)
        .bind(job.id.to_string())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Leases due jobs; if there are none, returns when the next one is due.
pub(super) async fn lease(
    connection: &mut SqliteConnection,
    queue: QueueName,
    max: usize,
) -> Result<(Vec<Leased>, Option<u64>), sqlx::Error> {
    let now = now_ms();
    let rows = sqlx::query(
        "UPDATE jobs SET state = 'leased', attempts = attempts + 1, delivery = delivery + 1,
                         renewed_at = $1
         WHERE id IN (SELECT id FROM jobs WHERE queue = $2 AND state = 'ready' AND due_at <= $1
                      ORDER BY due_at, id LIMIT $3)
         RETURNING id, body, attempts, lost_leases, delivery, due_at",
    )
    .bind(int(now))
    .bind(queue.as_str())
    .bind(i64::try_from(max).unwrap_or(i64::MAX))
    .fetch_all(&mut *connection)
    .await?;
    if rows.is_empty() {
        let next: Option<i64> =
            sqlx::query_scalar("SELECT min(due_at) FROM jobs WHERE queue = $1 AND state = 'ready'")
                .bind(queue.as_str())
                .fetch_one(&mut *connection)
                .await?;
        return Ok((vec![], next.and_then(|due| u64::try_from(due).ok())));
    }
    let lane = Lane { queue, shard: 0 };
    let mut leased = Vec::with_capacity(rows.len());
    for row in rows {
        match decode(&row, &lane)? {
            Ok(job) => leased.push(job),
            Err((id, reason)) => dead_letter_undecodable(connection, &id, &reason).await?,
        }
    }
    // The order of RETURNING is unspecified.
    leased.sort_by_key(|leased| (leased.ready_at, leased.job.id));
    Ok((leased, Some(now)))
}

fn decode(row: &SqliteRow, lane: &Lane) -> Result<Result<Leased, (String, String)>, sqlx::Error> {
    let id: String = row.try_get("id")?;
    let body: Option<String> = row.try_get("body")?;
    let job = match serde_json::from_str::<NewJob>(body.as_deref().unwrap_or_default()) {
        Ok(job) => job,
        Err(error) => return Ok(Err((id, error.to_string()))),
    };
    let delivery: i64 = row.try_get("delivery")?;
    Ok(Ok(Leased {
        lease: Lease {
            lane: lane.clone(),
            token: format!("{id}/{delivery}"),
        },
        job: Arc::new(job),
        attempt: row.try_get("attempts")?,
        lost_leases: row.try_get("lost_leases")?,
        ready_at: u64::try_from(row.try_get::<i64, _>("due_at")?).unwrap_or(0),
    }))
}

async fn dead_letter_undecodable(
    connection: &mut SqliteConnection,
    id: &str,
    reason: &str,
) -> Result<(), sqlx::Error> {
    tracing::error!(
        job_id = id,
        error = reason,
        "job cannot be decoded, dead-lettered"
    );
    let failure = Failure::new(
        "UNDECODABLE",
        format!("the job cannot be decoded: {reason}"),
    );
    sqlx::query("UPDATE jobs SET state = 'dead', error = $1, finished_at = $2 WHERE id = $3")
        .bind(encode(&failure)?)
        .bind(int(now_ms()))
        .bind(id)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Splits a lease token into the job's id and the number of the delivery.
fn split(token: &str) -> (&str, i64) {
    let (id, delivery) = token.split_once('/').unwrap_or((token, ""));
    (id, delivery.parse().unwrap_or(-1))
}

pub(super) async fn extend(
    connection: &mut SqliteConnection,
    leases: Vec<Lease>,
) -> Result<Vec<bool>, sqlx::Error> {
    let mut held = Vec::with_capacity(leases.len());
    for lease in &leases {
        let (id, delivery) = split(&lease.token);
        let renewed = sqlx::query(
            "UPDATE jobs SET renewed_at = $1 WHERE id = $2 AND delivery = $3 AND state = 'leased'",
        )
        .bind(int(now_ms()))
        .bind(id)
        .bind(delivery)
        .execute(&mut *connection)
        .await?;
        held.push(renewed.rows_affected() == 1);
    }
    Ok(held)
}

pub(super) async fn settle(
    connection: &mut SqliteConnection,
    batch: Vec<Settlement>,
) -> Result<Vec<Settled>, sqlx::Error> {
    let mut results = Vec::with_capacity(batch.len());
    for Settlement { leased, settle } in &batch {
        let held = match settle {
            Settle::Succeeded(result) => {
                finish(connection, leased, "succeeded", Some(result.get()), None).await?
            }
            Settle::Rejected(failure) => {
                finish(connection, leased, "rejected", None, Some(encode(failure)?)).await?
            }
            Settle::Dead(failure) => dead_letter(connection, leased, encode(failure)?).await?,
            Settle::Retry { after, failure } => {
                let due = now_ms().saturating_add(millis(*after));
                make_ready(connection, leased, due, 0, Some(encode(failure)?)).await?
            }
            // As before the lease: the same position in the queue, and the attempt is not counted.
            Settle::HandBack => make_ready(connection, leased, leased.ready_at, 1, None).await?,
        };
        results.push(if held {
            Settled::Done
        } else {
            Settled::LeaseLost
        });
    }
    Ok(results)
}

async fn finish(
    connection: &mut SqliteConnection,
    leased: &Leased,
    state: &str,
    result: Option<&str>,
    error: Option<String>,
) -> Result<bool, sqlx::Error> {
    let (id, delivery) = split(&leased.lease.token);
    let now = now_ms();
    let done = sqlx::query(
        "UPDATE jobs SET state = $1, result = $2, error = $3, finished_at = $4, expires_at = $5,
                         body = NULL
         WHERE id = $6 AND delivery = $7 AND state = 'leased'",
    )
    .bind(state)
    .bind(result)
    .bind(error)
    .bind(int(now))
    .bind(int(now.saturating_add(leased.job.result_ttl_ms)))
    .bind(id)
    .bind(delivery)
    .execute(&mut *connection)
    .await?
    .rows_affected()
        == 1;
    if let (true, Some(key)) = (done, &leased.job.idempotency) {
        sqlx::query(
            "UPDATE idempotency_keys SET expires_at = $1
             WHERE queue = $2 AND key = $3 AND job_id = $4",
        )
        .bind(int(now.saturating_add(key.ttl_ms)))
        .bind(leased.job.queue.as_str())
        .bind(&key.key)
        .bind(id)
        .execute(&mut *connection)
        .await?;
    }
    Ok(done)
}

async fn dead_letter(
    connection: &mut SqliteConnection,
    leased: &Leased,
    error: String,
) -> Result<bool, sqlx::Error> {
    let (id, delivery) = split(&leased.lease.token);
    let done = sqlx::query(
        "UPDATE jobs SET state = 'dead', error = $1, finished_at = $2,
                         expires_at = CASE WHEN dead_ttl_ms > 0 THEN $2 + dead_ttl_ms END
         WHERE id = $3 AND delivery = $4 AND state = 'leased'",
    )
    .bind(error)
    .bind(int(now_ms()))
    .bind(id)
    .bind(delivery)
    .execute(&mut *connection)
    .await?
    .rows_affected()
        == 1;
    if done {
        release_key(connection, id).await?;
    }
    Ok(done)
}

async fn make_ready(
    connection: &mut SqliteConnection,
    leased: &Leased,
    due_at: u64,
    attempts_back: i64,
    error: Option<String>,
) -> Result<bool, sqlx::Error> {
    let (id, delivery) = split(&leased.lease.token);
    let done = sqlx::query(
        "UPDATE jobs SET state = 'ready', due_at = $1, attempts = attempts - $2,
                         error = coalesce($3, error), renewed_at = NULL
         WHERE id = $4 AND delivery = $5 AND state = 'leased'",
    )
    .bind(int(due_at))
    .bind(attempts_back)
    .bind(error)
    .bind(id)
    .bind(delivery)
    .execute(&mut *connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A dead letter releases its idempotency key, so that a repeat enqueues a new job.
async fn release_key(connection: &mut SqliteConnection, id: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM idempotency_keys WHERE job_id = $1
         AND queue = (SELECT queue FROM jobs WHERE id = $1)",
    )
    .bind(id)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// Reclaims expired leases and deletes rows whose TTL has ended; also returns the jobs that changed.
pub(super) async fn reclaim(
    connection: &mut SqliteConnection,
    queue: QueueName,
    policy: ReclaimPolicy,
) -> Result<(Reclaimed, Vec<JobId>), sqlx::Error> {
    let now = now_ms();
    delete_expired(connection, now).await?;
    let expired = sqlx::query(
        "SELECT id, attempts, lost_leases, max_attempts FROM jobs
         WHERE queue = $1 AND state = 'leased' AND renewed_at <= $2 ORDER BY renewed_at LIMIT $3",
    )
    .bind(queue.as_str())
    .bind(int(now.saturating_sub(millis(policy.lease_timeout))))
    .bind(BATCH)
    .fetch_all(&mut *connection)
    .await?;
    let mut total = Reclaimed::default();
    let mut changed = Vec::with_capacity(expired.len());
    for row in expired {
        let id: String = row.try_get("id")?;
        let lost = row.try_get::<u32, _>("lost_leases")? + 1;
        let error = if lost >= policy.max_lost_leases {
            total.poisoned += 1;
            Some(Failure::poison())
        } else if row.try_get::<u32, _>("attempts")? >= row.try_get::<u32, _>("max_attempts")? {
            total.exhausted += 1;
            Some(Failure::lease_expired())
        } else {
            total.requeued += 1;
            None
        };
        let (state, error, finished) = match error {
            Some(error) => ("dead", Some(encode(&error)?), Some(int(now))),
            None => ("ready", None, None),
        };
        sqlx::query(
            "UPDATE jobs SET state = $1, lost_leases = $2, error = coalesce($3, error),
                             finished_at = $4, renewed_at = NULL,
                             expires_at = CASE WHEN dead_ttl_ms > 0 THEN $4 + dead_ttl_ms END
             WHERE id = $5",
        )
        .bind(state)
        .bind(lost)
        .bind(error)
        .bind(finished)
        .bind(&id)
        .execute(&mut *connection)
        .await?;
        if state == "dead" {
            release_key(connection, &id).await?;
        }
        changed.extend(id.parse::<JobId>().ok());
    }
    Ok((total, changed))
}

async fn delete_expired(connection: &mut SqliteConnection, now: u64) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE expires_at <= $1 LIMIT $2)",
    )
    .bind(int(now))
    .bind(BATCH)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM idempotency_keys WHERE expires_at <= $1")
        .bind(int(now))
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// Makes a dead letter ready again and returns its queue; none if the job is not a dead letter.
pub(super) async fn replay(
    connection: &mut SqliteConnection,
    id: JobId,
) -> Result<Option<QueueName>, sqlx::Error> {
    let row: Option<(String, Option<String>)> = sqlx::query_as(
        "UPDATE jobs SET state = 'ready', attempts = 0, lost_leases = 0, due_at = $1, error = NULL,
                         finished_at = NULL, expires_at = NULL
         WHERE id = $2 AND state = 'dead' RETURNING queue, body",
    )
    .bind(int(now_ms()))
    .bind(id.to_string())
    .fetch_optional(&mut *connection)
    .await?;
    let Some((queue, body)) = row else {
        return Ok(None);
    };
    let job = body.and_then(|body| serde_json::from_str::<NewJob>(&body).ok());
    if let Some(key) = job.and_then(|job| job.idempotency) {
        // The job holds its key again, unless another one has acquired it since.
        sqlx::query(
            "INSERT INTO idempotency_keys (queue, key, job_id) VALUES ($1, $2, $3)
             ON CONFLICT (queue, key) DO NOTHING",
        )
        .bind(&queue)
        .bind(key.key)
        .bind(id.to_string())
        .execute(&mut *connection)
        .await?;
    }
    QueueName::try_from(queue)
        .map(Some)
        .map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

pub(super) async fn purge(
    connection: &mut SqliteConnection,
    id: JobId,
) -> Result<bool, sqlx::Error> {
    let purged = sqlx::query("DELETE FROM jobs WHERE id = $1 AND state = 'dead'")
        .bind(id.to_string())
        .execute(&mut *connection)
        .await?;
    Ok(purged.rows_affected() == 1)
}
