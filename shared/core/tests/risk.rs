//! The cache of risk ranks, on both engines.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::time::Duration;

use avalon_core::platform::risk::{REDIS_TIMEOUT, RiskCache};
use avalon_core::storage::documents::{MemoryDocuments, RedisDocuments};
use avalon_queue::RedisEndpoint;
use avalon_test_support::{RedisServer, eventually_eq, shared_redis_url, unique_prefix};
use avalon_wechat::RiskRank;

fn in_redis(endpoint: RedisEndpoint, prefix: &str, ttl: Duration) -> RiskCache {
    RiskCache::new(RedisDocuments::new(endpoint, prefix, REDIS_TIMEOUT), ttl)
}

async fn check(cache: RiskCache, other: RiskCache) {
    let rank = RiskRank::try_from(3).unwrap();
    assert_eq!(cache.get("alice").await, None);
    cache.put("alice", rank).await;
    assert_eq!(other.get("alice").await, Some(rank));
    assert_eq!(other.get("bob").await, None);
    eventually_eq(Duration::from_secs(5), None, async || {
        other.get("alice").await
    })
    .await;
}

#[tokio::test]
async fn rank_in_redis_is_shared_until_it_expires() {
    let (url, prefix) = (shared_redis_url().await, unique_prefix());
    let cache = || {
        let endpoint = RedisEndpoint::new(&url).unwrap();
        in_redis(endpoint, &prefix, Duration::from_millis(800))
    };
    check(cache(), cache()).await;
}

#[tokio::test]
async fn rank_in_memory_expires() {
    let cache = RiskCache::new(MemoryDocuments::default(), Duration::from_millis(800));
    check(cache.clone(), cache).await;
}

#[tokio::test]
async fn unreachable_redis_is_an_empty_cache_without_delay() {
    let absent = RedisServer::reserve();
    let endpoint = RedisEndpoint::new(&absent.url()).unwrap();
    let cache = in_redis(endpoint, "test", Duration::from_secs(60));
    let rank = RiskRank::try_from(3).unwrap();
    let used = async {
        cache.put("alice", rank).await;
        cache.get("alice").await
    };
    let used = tokio::time::timeout(Duration::from_secs(2), used).await;
    assert_eq!(used, Ok(None));
}
