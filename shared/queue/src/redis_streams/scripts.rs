//! The Lua scripts, one function each, which passes keys and arguments and decodes the reply. The
//! contract of each script is at the top of its file in `lua/`.

use std::sync::LazyLock;

use redis::{Script, ScriptInvocation};

use super::lanes::{LaneKeys, Undecodable};
use super::{BATCH, CONSUMER_TTL, op_of};
use crate::job::{Failure, JobId, NewJob, millis};
use crate::redis_endpoint::RedisLink;
use crate::store::{Enqueued, ReclaimPolicy, Reclaimed, Settle, Settled, Settlement, StoreError};

macro_rules! script {
    ($name:ident, $file:literal) => {
        static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("lua/", $file, ".lua"))));
    };
}

/// A script that uses the lane's clock.
macro_rules! timed_script {
    ($name:ident, $file:literal) => {
        static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!(
                include_str!("lua/clock.lua"),
                include_str!(concat!("lua/", $file, ".lua"))
            ))
        });
    };
}

timed_script!(ENQUEUE, "enqueue");
timed_script!(PROMOTE, "promote");
script!(PURGE, "purge");
script!(RECLAIM, "reclaim");
script!(REPLAY, "replay");
script!(RETIRE, "retire");
timed_script!(SETTLE, "settle");
script!(STATS, "stats");
script!(VIEW, "view");

pub(super) struct Channels<'a> {
    pub(super) changes: &'a str,
    pub(super) due: &'a str,
}

fn unexpected(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unexpected(error.to_string())
}

pub(super) fn to_json(failure: &Failure) -> Result<String, StoreError> {
    serde_json::to_string(failure).map_err(unexpected)
}

pub(super) async fn enqueue(
    link: &mut RedisLink,
    keys: &LaneKeys,
    due_channel: &str,
    jobs: &[NewJob],
) -> Result<Vec<Enqueued>, StoreError> {
    let mut call = ENQUEUE.prepare_invoke();
    call.key(&keys.ready)
        .key(&keys.delayed)
        .arg(&keys.base)
        .arg(due_channel)
        .arg(&keys.lane);
    for job in jobs {
        call.arg(job.id.to_string())
            .arg(serde_json::to_string(job).map_err(unexpected)?)
            .arg(job.delay_ms)
            .arg(&job.kind)
            .arg(job.owner.as_deref().unwrap_or_default())
            .arg(job.enqueued_at)
            .arg(job.max_attempts)
            .arg(job.traceparent.as_deref().unwrap_or_default())
            .arg(job.idempotency.as_ref().map_or("", |key| &key.key))
            .arg(job.dead_ttl_ms);
    }
    let replies: Vec<String> = call.invoke_async(link).await?;
    jobs.iter()
        .zip(replies)
        .map(|(job, existing)| match existing.as_str() {
            "" => Ok(Enqueued::New(job.id)),
            existing => existing.parse().map(Enqueued::Existing).map_err(unexpected),
        })
        .collect()
}

/// Makes due jobs ready; returns their number, and the milliseconds until the next one is due.
pub(super) async fn promote(
    link: &mut RedisLink,
    keys: &LaneKeys,
) -> Result<(usize, Option<u64>), StoreError> {
    let (promoted, next): (usize, i64) = PROMOTE
        .key(&keys.ready)
        .key(&keys.delayed)
        .arg(&keys.base)
        .arg(BATCH)
        .invoke_async(link)
        .await?;
    Ok((promoted, u64::try_from(next).ok()))
}

fn settle_call<'a>(keys: &LaneKeys, channels: &Channels<'_>) -> ScriptInvocation<'a> {
    let mut call = SETTLE.prepare_invoke();
    call.key(&keys.ready)
        .key(&keys.delayed)
        .key(&keys.dead)
        .arg(&keys.base)
        .arg(channels.changes)
        .arg(channels.due)
        .arg(&keys.lane);
    call
}

pub(super) async fn settle(
    link: &mut RedisLink,
    keys: &LaneKeys,
    channels: &Channels<'_>,
    batch: &[Settlement],
) -> Result<Vec<Settled>, StoreError> {
    let mut call = settle_call(keys, channels);
    for Settlement { leased, settle } in batch {
        let (text, after) = match settle {
            Settle::Succeeded(result) => (result.get().to_owned(), leased.job.result_ttl_ms.max(1)),
            Settle::Rejected(failure) => (to_json(failure)?, leased.job.result_ttl_ms.max(1)),
            Settle::Retry { after, failure } => (to_json(failure)?, millis(*after)),
            Settle::Dead(failure) => (to_json(failure)?, leased.job.dead_ttl_ms),
            Settle::HandBack => (String::new(), 0),
        };
        let idempotency = leased.job.idempotency.as_ref();
        call.arg(op_of(settle))
            .arg(&leased.lease.token)
            .arg(leased.job.id.to_string())
            .arg(text)
            .arg(after)
            .arg(idempotency.map_or("", |key| &key.key))
            .arg(idempotency.map_or(0, |key| key.ttl_ms.max(1)))
            .arg(leased.attempt)
            .arg(u8::from(leased.job.awaited));
    }
    let replies: Vec<u8> = call.invoke_async(link).await?;
    Ok(replies
        .into_iter()
        .map(|held| {
            if held == 1 {
                Settled::Done
            } else {
                Settled::LeaseLost
            }
        })
        .collect())
}

/// Dead-letters an entry that cannot be decoded.
pub(super) async fn dead_letter(
    link: &mut RedisLink,
    keys: &LaneKeys,
    changes: &str,
    undecodable: &Undecodable,
) -> Result<(), StoreError> {
    let failure = Failure::new(
        "UNDECODABLE",
        format!("the job cannot be decoded: {}", undecodable.reason),
    );
    let mut call = settle_call(keys, &Channels { changes, due: "" });
    call.arg("dead")
        .arg(&undecodable.entry)
        .arg(undecodable.id.to_string())
        .arg(to_json(&failure)?)
        .arg(0)
        .arg("")
        .arg(0)
        .arg(1)
        .arg(0);
    let _: Vec<u8> = call.invoke_async(link).await?;
    Ok(())
}

/// Reclaims one batch of expired leases; also returns whether more are left.
pub(super) async fn reclaim(
    link: &mut RedisLink,
    keys: &LaneKeys,
    changes: &str,
    policy: &ReclaimPolicy,
) -> Result<(Reclaimed, bool), StoreError> {
    let (requeued, exhausted, poisoned, more): (u64, u64, u64, bool) = RECLAIM
        .key(&keys.ready)
        .key(&keys.dead)
        .arg(&keys.base)
        .arg(changes)
        .arg(millis(policy.lease_timeout))
        .arg(policy.max_lost_leases)
        .arg(BATCH)
        .arg(to_json(&Failure::lease_expired())?)
        .arg(to_json(&Failure::poison())?)
        .arg(millis(CONSUMER_TTL))
        .invoke_async(link)
        .await?;
    Ok((
        Reclaimed {
            requeued,
            exhausted,
            poisoned,
        },
        more,
    ))
}

pub(super) async fn retire(
    link: &mut RedisLink,
    keys: &LaneKeys,
    consumer: &str,
) -> Result<(), StoreError> {
    let _: i64 = RETIRE
        .key(&keys.ready)
        .arg(consumer)
        .invoke_async(link)
        .await?;
    Ok(())
}

/// The record's fields and values, whether the job is leased, its envelope, and its due time.
pub(super) type RawView = (Vec<String>, bool, String, f64);

pub(super) async fn view(
    link: &mut RedisLink,
    keys: &LaneKeys,
    id: JobId,
) -> Result<RawView, StoreError> {
    Ok(VIEW
        .key(keys.record(id))
        .key(&keys.ready)
        .key(&keys.delayed)
        .key(&keys.dead)
        .arg(id.to_string())
        .arg(&keys.base)
        .invoke_async(link)
        .await?)
}

pub(super) struct LaneStats {
    pub(super) ready: u64,
    pub(super) running: u64,
    pub(super) scheduled: u64,
    pub(super) dead: u64,
    pub(super) oldest_ready_ms: u64,
}

pub(super) async fn stats(link: &mut RedisLink, keys: &LaneKeys) -> Result<LaneStats, StoreError> {
    let (ready, running, scheduled, dead, oldest_ready_ms) = STATS
        .key(&keys.ready)
        .key(&keys.delayed)
        .key(&keys.dead)
        .invoke_async(link)
        .await?;
    Ok(LaneStats {
        ready,
        running,
        scheduled,
        dead,
        oldest_ready_ms,
    })
}

pub(super) async fn replay(
    link: &mut RedisLink,
    keys: &LaneKeys,
    id: JobId,
    changes: &str,
) -> Result<bool, StoreError> {
    Ok(REPLAY
        .key(keys.record(id))
        .key(&keys.ready)
        .key(&keys.dead)
        .arg(id.to_string())
        .arg(&keys.base)
        .arg(changes)
        .invoke_async(link)
        .await?)
}

pub(super) async fn purge(
    link: &mut RedisLink,
    keys: &LaneKeys,
    id: JobId,
    changes: &str,
) -> Result<bool, StoreError> {
    Ok(PURGE
        .key(keys.record(id))
        .key(&keys.dead)
        .arg(id.to_string())
        .arg(changes)
        .invoke_async(link)
        .await?)
}
