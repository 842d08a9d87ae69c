//! Limits of a whole service, counted in Redis by its own clock: one key and one script call each.
//!
//! | key | what |
//! |---|---|
//! | `P:v1:limit:LIMIT:WHO` | the theoretical arrival time of the next request, Unix µs; expires when it is past |

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use avalon_queue::RedisEndpoint;
use redis::Script;

use super::{Counted, Limit, Verdict};
use crate::config::LimitsConfig;

/// Longer than a healthy server takes; players must not wait for a count.
const TIMEOUT: Duration = Duration::from_millis(250);
/// Time without further calls after one failed.
const PAUSE: Duration = Duration::from_secs(1);

/// GCRA. KEYS: the arrival time. ARGV: interval (µs, with a fraction: those of bytes are short), quota and
/// weight. Returns whether the request is allowed, the remaining number, µs until the request is allowed,
/// µs until the full burst is.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
         local now = time[1] * 1000000 + time[2]
         local interval, quota, weight = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
         local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
         -- No later than a full burst reaches: the clock may have stepped back since.
         arrival = math.min(arrival, now + interval * quota)
         local after = arrival + interval * weight
         local early = after - interval * quota - now
         -- Less than a microsecond is what rounding of the stored time adds.
         if early >= 1 then return {0, 0, math.ceil(early), math.ceil(arrival - now)} end
         -- %.0f: plain numbers lose digits as text.
         redis.call('SET', KEYS[1], string.format('%.0f', after),
             'PX', math.ceil((after - now) / 1000))
         return {1, math.max(math.floor((1 - early) / interval), 0), 0, math.ceil(after - now)}",
    )
});

/// Limits that are counted in Redis. Cheap to clone.
#[derive(Clone)]
pub struct RedisLimiter {
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: RedisEndpoint,
    prefix: String,
    config: LimitsConfig,
    started: Instant,
    /// Milliseconds after `started` before which Redis is not called.
    not_before: AtomicU64,
}

impl RedisLimiter {
    /// Limits with the configured rates, under keys that begin with `prefix`.
    pub fn new(endpoint: RedisEndpoint, prefix: &str, config: &LimitsConfig) -> Self {
        Self {
            shared: Arc::new(Shared {
                endpoint,
                prefix: prefix.to_owned(),
                config: config.clone(),
                started: Instant::now(),
                not_before: AtomicU64::new(0),
            }),
        }
    }

    pub(super) async fn take(
        &self,
        limit: Limit,
        counted: &Counted,
        weight: NonZeroU32,
    ) -> Option<Verdict> {
        let shared = &*self.shared;
        let elapsed = || u64::try_from(shared.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if elapsed() < shared.not_before.load(Ordering::Relaxed) {
            return None;
        }
        let rate = limit.rate(&shared.config);
        let mut link = shared.endpoint.shared();
        let mut call = TAKE.prepare_invoke();
        call.key(format!(
            "{}:v1:limit:{}:{}",
            shared.prefix,
            limit.as_ref(),
            counted.0
        ))
        .arg(rate.interval().as_secs_f64() * 1e6)
        .arg(rate.quota.get())
        .arg(weight.get());
        let answer = tokio::time::timeout(TIMEOUT, call.invoke_async(&mut link)).await;
        let taken: Result<(bool, u32, u64, u64), String> = match answer {
            Ok(answer) => answer.map_err(|error: redis::RedisError| error.to_string()),
            Err(_) => Err("timed out".to_owned()),
        };
        match taken {
            Ok((allowed, remaining, retry_after, reset)) => Some(Verdict {
                limit,
                rate,
                allowed,
                remaining,
                reset: Duration::from_micros(reset),
                retry_after: Duration::from_micros(retry_after),
            }),
            Err(error) => {
                let pause = elapsed() + u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX);
                shared.not_before.store(pause, Ordering::Relaxed);
                tracing::warn!(error, "Redis is unavailable, rate limits are not counted");
                None
            }
        }
    }
}
