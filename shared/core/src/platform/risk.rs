//! What WeChat said of players lately, so that it is not asked at every step: in Redis for all
//! processes, or in the memory of the one process of the embedded engine. A cache that can't be asked
//! knows nothing. What a rank leads to is not decided here.
//!
//! | key in Redis | what |
//! |---|---|
//! | `P:v1:risk:OPENID` | the rank, with a TTL |

use std::sync::Arc;
use std::time::Duration;

use avalon_queue::RedisEndpoint;
use avalon_wechat::RiskRank;
use moka::future::Cache;
use redis::RedisError;

/// Longer than a healthy server takes; asking WeChat takes about as long.
const PATIENCE: Duration = Duration::from_millis(250);
/// Of one process.
const MOST_PLAYERS: u64 = 100_000;

/// Ranks that WeChat told lately. Clones are the same cache.
#[derive(Clone)]
pub enum RiskCache {
    /// Of all processes.
    Shared(Arc<SharedRanks>),
    /// Of this process alone.
    Local(Cache<String, RiskRank>),
}

/// Ranks in Redis.
pub struct SharedRanks {
    endpoint: RedisEndpoint,
    prefix: String,
    keep: Duration,
}

impl RiskCache {
    /// Of all processes that use this Redis and prefix.
    pub fn shared(endpoint: RedisEndpoint, prefix: &str, keep: Duration) -> Self {
        Self::Shared(Arc::new(SharedRanks {
            endpoint,
            prefix: prefix.to_owned(),
            keep,
        }))
    }

    /// Of this process alone.
    pub fn local(keep: Duration) -> Self {
        Self::Local(
            Cache::builder()
                .max_capacity(MOST_PLAYERS)
                .time_to_live(keep)
                .build(),
        )
    }

    /// The player's rank, when it is known and not too old.
    pub async fn get(&self, open_id: &str) -> Option<RiskRank> {
        match self {
            Self::Local(ranks) => ranks.get(open_id).await,
            Self::Shared(ranks) => ranks.get(open_id).await,
        }
    }

    /// Notes what WeChat told.
    pub async fn put(&self, open_id: &str, rank: RiskRank) {
        match self {
            Self::Local(ranks) => ranks.insert(open_id.to_owned(), rank).await,
            Self::Shared(ranks) => ranks.put(open_id, rank).await,
        }
    }
}

impl SharedRanks {
    async fn get(&self, open_id: &str) -> Option<RiskRank> {
        let mut command = redis::cmd("GET");
        command.arg(self.key(open_id));
        let mut link = self.endpoint.shared();
        let rank: Option<u8> = in_time(command.query_async(&mut link)).await?;
        RiskRank::try_from(rank?).ok()
    }

    async fn put(&self, open_id: &str, rank: RiskRank) {
        let keep = u64::try_from(self.keep.as_millis()).unwrap_or(u64::MAX);
        let mut command = redis::cmd("SET");
        command
            .arg(self.key(open_id))
            .arg(rank.get())
            .arg("PX")
            .arg(keep.max(1));
        let mut link = self.endpoint.shared();
        let _: Option<()> = in_time(command.query_async(&mut link)).await;
    }

    fn key(&self, open_id: &str) -> String {
        format!("{}:v1:risk:{open_id}", self.prefix)
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, RedisError>>) -> Option<T> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            tracing::debug!(%error, "risk ranks are not kept for now");
            None
        }
        Err(_) => {
            tracing::debug!("Redis did not answer for a risk rank in time");
            None
        }
    }
}
