//! Rate limits on both engines.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::num::NonZeroU32;
use std::time::Duration;

use avalon_api::config::LimitsConfig;
use avalon_api::limits::{Counted, Limit, Limits, LocalLimiter, Rate, RedisLimiter};
use avalon_core::base::ids::UserId;
use avalon_core::storage::documents::{Documents, RedisDocuments};
use avalon_queue::RedisEndpoint;
use avalon_test_support::{RedisServer, shared_redis_url, unique_prefix};

fn limits_config(rate: &str) -> LimitsConfig {
    LimitsConfig {
        per_player: rate.parse::<Rate>().unwrap(),
        ..LimitsConfig::default()
    }
}

async fn both_limiters(rate: &str) -> [Limits; 2] {
    let endpoint = RedisEndpoint::new(&shared_redis_url().await).unwrap();
    let config = limits_config(rate);
    [
        Limits::Local(LocalLimiter::new(&config)),
        Limits::Shared(RedisLimiter::new(endpoint, &unique_prefix(), &config)),
    ]
}

#[tokio::test]
async fn burst_is_allowed_then_an_even_pace() {
    for limits in both_limiters("5/1m").await {
        let player = Counted::player(UserId::new());
        for left in (0..5).rev() {
            let verdict = limits.take(Limit::Player, &player).await.unwrap();
            assert_eq!((verdict.allowed, verdict.remaining), (true, left));
        }
        let verdict = limits.take(Limit::Player, &player).await.unwrap();
        assert!(!verdict.allowed);
        // A fifth of a minute, less what has passed.
        let (most, least) = (Duration::from_secs(12), Duration::from_secs(9));
        assert!((least..=most).contains(&verdict.retry_after), "{verdict:?}");
        assert!(verdict.reset <= Duration::from_secs(60), "{verdict:?}");
        // Other players and other limits are unaffected.
        let other = Counted::player(UserId::new());
        assert!(limits.take(Limit::Player, &other).await.unwrap().allowed);
        assert!(limits.take(Limit::Route, &player).await.unwrap().allowed);
    }
}

#[tokio::test]
async fn weight_is_counted_as_a_whole_or_not_at_all() {
    let weight = |units| NonZeroU32::new(units).unwrap();
    // Bytes: the interval of one is a fraction of a millisecond, and not a whole number of microseconds.
    for limits in both_limiters("4194304/10m").await {
        let player = Counted::player(UserId::new());
        let take = async |units| {
            let taken = limits.take_weighted(Limit::Player, &player, weight(units));
            taken.await.unwrap()
        };
        let first = take(4_000_000).await;
        let left = 194_304..=195_000;
        assert!(
            first.allowed && left.contains(&first.remaining),
            "{first:?}"
        );
        let refused = take(1_000_000).await;
        assert!(!refused.allowed, "{refused:?}");
        // 805,696 bytes are missing, and 6,990 are refilled each second.
        let seconds = refused.retry_after.as_secs();
        assert!((114..=115).contains(&seconds), "{refused:?}");
        assert!(take(194_000).await.allowed, "a refusal consumes nothing");
        let too_large = take(4_194_305).await;
        assert!(!too_large.allowed, "{too_large:?}");
        assert!(!too_large.retry_after.is_zero(), "{too_large:?}");
    }
}

#[tokio::test]
async fn request_after_retry_after_is_allowed() {
    for limits in both_limiters("2/1s").await {
        let player = Counted::player(UserId::new());
        let mut refused = None;
        while refused.is_none() {
            let verdict = limits.take(Limit::Player, &player).await.unwrap();
            refused = (!verdict.allowed).then_some(verdict);
        }
        tokio::time::sleep(refused.unwrap().retry_after).await;
        assert!(limits.take(Limit::Player, &player).await.unwrap().allowed);
    }
}

#[tokio::test]
async fn redis_outage_disables_the_limit_and_is_not_waited_for() {
    let mut server = RedisServer::start().await;
    let endpoint = RedisEndpoint::new(&server.url()).unwrap();
    let limits = Limits::Shared(RedisLimiter::new(endpoint, "test", &limits_config("1/1m")));
    let player = Counted::player(UserId::new());
    assert!(limits.take(Limit::Player, &player).await.unwrap().allowed);
    server.stop();
    assert_eq!(limits.take(Limit::Player, &player).await, None);
    let begun = std::time::Instant::now();
    for _ in 0..100 {
        assert_eq!(limits.take(Limit::Player, &player).await, None);
    }
    assert!(
        begun.elapsed() < Duration::from_millis(200),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn clock_that_steps_back_blocks_no_longer_than_a_burst() {
    let endpoint = RedisEndpoint::new(&shared_redis_url().await).unwrap();
    let (prefix, user) = (unique_prefix(), UserId::new());
    let config = limits_config("5/1m");
    let limits = Limits::Shared(RedisLimiter::new(endpoint.clone(), &prefix, &config));
    // Counted by a clock that was an hour ahead.
    let documents = RedisDocuments::new(endpoint, &prefix, Duration::from_secs(2));
    let ahead = std::time::UNIX_EPOCH.elapsed().unwrap() + Duration::from_secs(3600);
    let key = format!("limit:{}:{user}", Limit::Player.as_ref());
    let stored = ahead.as_micros().to_string();
    documents.put(&key, &stored, None).await.unwrap();
    let player = Counted::player(user);
    let verdict = limits.take(Limit::Player, &player).await.unwrap();
    assert!(!verdict.allowed, "{verdict:?}");
    let minute = Duration::from_secs(60);
    assert!(verdict.retry_after <= minute / 5, "{verdict:?}");
    assert!(verdict.reset <= minute, "{verdict:?}");
}
