//! WeChat's recent risk ranks of players, cached so that it is not asked at every step. A cache that
//! cannot be read counts as empty. The consequences of a rank are decided elsewhere.
//!
//! | document | value |
//! |---|---|
//! | `risk:OPENID` | the rank; expires |

use std::sync::Arc;
use std::time::Duration;

use avalon_wechat::RiskRank;

use crate::storage::documents::{DocumentError, Documents};

/// Longer than a healthy Redis takes; asking WeChat takes about as long.
pub const REDIS_TIMEOUT: Duration = Duration::from_millis(250);

/// Recent risk ranks. Clones are the same cache.
#[derive(Clone)]
pub struct RiskCache {
    documents: Arc<dyn Documents>,
    ttl: Duration,
}

impl RiskCache {
    /// Caches ranks in `documents` for `ttl`.
    pub fn new(documents: impl Documents + 'static, ttl: Duration) -> Self {
        let documents = Arc::new(documents);
        Self { documents, ttl }
    }

    /// Returns the player's rank, if it is cached.
    pub async fn get(&self, open_id: &str) -> Option<RiskRank> {
        let cached = self.documents.get(&key(open_id)).await;
        let rank = cached.unwrap_or_else(|error| {
            unavailable(&error);
            None
        });
        let rank: u8 = rank?.parse().ok()?;
        RiskRank::try_from(rank).ok()
    }

    /// Stores a rank.
    pub async fn put(&self, open_id: &str, rank: RiskRank) {
        let (key, rank) = (key(open_id), rank.get().to_string());
        let stored = self.documents.put(&key, &rank, Some(self.ttl));
        if let Err(error) = stored.await {
            unavailable(&error);
        }
    }

    /// Removes a player's rank.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget(&self, open_id: &str) -> Result<(), DocumentError> {
        let key = key(open_id);
        while let Some(rank) = self.documents.get(&key).await? {
            self.documents.remove(&key, &rank).await?;
        }
        Ok(())
    }
}

fn key(open_id: &str) -> String {
    format!("risk:{open_id}")
}

fn unavailable(error: &DocumentError) {
    tracing::debug!(%error, "the cache of risk ranks is unavailable");
}
