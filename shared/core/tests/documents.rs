//! The contract of the document port, on every engine. Keys are of the kinds that all engines hold.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use avalon_core::base::ids::{SessionId, UserId};
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_core::storage::documents::{
    DocumentError, Documents, MemoryDocuments, RedisDocuments, SqlDocuments,
};
use avalon_queue::RedisEndpoint;
use avalon_test_support::{
    RedisServer, TestDatabase, eventually_eq, shared_redis_url, unique_prefix,
};
use futures_util::future::join_all;
use jiff::Timestamp;

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

/// A store as two processes see it, or one process twice where the engine allows only one.
struct Engine {
    stores: [Arc<dyn Documents>; 2],
    /// Deletes what has expired, if the engine does not do so by itself.
    sql: Option<SqlDocuments>,
    _database: Option<TestDatabase>,
}

async fn redis() -> Engine {
    let (url, prefix) = (shared_redis_url().await, unique_prefix());
    let process = || -> Arc<dyn Documents> {
        let endpoint = RedisEndpoint::new(&url).unwrap();
        let timeout = Duration::from_secs(2);
        Arc::new(RedisDocuments::new(endpoint, &prefix, timeout))
    };
    Engine {
        stores: [process(), process()],
        sql: None,
        _database: None,
    }
}

fn memory() -> Engine {
    let store: Arc<dyn Documents> = Arc::new(MemoryDocuments::default());
    Engine {
        stores: [Arc::clone(&store), store],
        sql: None,
        _database: None,
    }
}

async fn sql(database: TestDatabase) -> Engine {
    let config = DatabaseConfig {
        url: database.url().parse().unwrap(),
        ..DatabaseConfig::default()
    };
    let pool = Database::new(&config).unwrap();
    pool.migrate().await.unwrap();
    let store = SqlDocuments::new(pool);
    Engine {
        stores: [Arc::new(store.clone()), Arc::new(store.clone())],
        sql: Some(store),
        _database: Some(database),
    }
}

/// Runs a body on each engine.
macro_rules! on_every_engine {
    ($name:ident, $body:expr) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn redis() {
                ($body)(super::redis().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn memory() {
                ($body)(super::memory()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                ($body)(sql(TestDatabase::sqlite()).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                ($body)(sql(TestDatabase::postgres().await).await).await;
            }
        }
    };
}

fn document() -> String {
    format!("sessions:{}", UserId::new())
}

fn claim() -> String {
    format!("nonce:{{n0}}:{}:n-1", SessionId::new())
}

on_every_engine!(replace_needs_the_current_text, async |engine: Engine| {
    let ([one, other], key) = (engine.stores, document());
    assert_eq!(one.get(&key).await.unwrap(), None);
    assert!(!one.replace(&key, Some("a"), "b", MINUTE).await.unwrap());
    assert!(one.replace(&key, None, "a", MINUTE).await.unwrap());
    assert_eq!(other.get(&key).await.unwrap().as_deref(), Some("a"));
    assert!(!other.replace(&key, None, "b", MINUTE).await.unwrap());
    assert!(!other.replace(&key, Some("x"), "b", MINUTE).await.unwrap());
    assert!(other.replace(&key, Some("a"), "b", None).await.unwrap());
    assert_eq!(one.get(&key).await.unwrap().as_deref(), Some("b"));
    assert_eq!(one.get(&document()).await.unwrap(), None);
});

on_every_engine!(remove_needs_the_current_text, async |engine: Engine| {
    let ([one, other], key) = (engine.stores, document());
    assert!(!one.remove(&key, "a").await.unwrap());
    one.put(&key, "a", MINUTE).await.unwrap();
    assert!(!other.remove(&key, "x").await.unwrap());
    assert_eq!(one.get(&key).await.unwrap().as_deref(), Some("a"));
    assert!(other.remove(&key, "a").await.unwrap());
    assert_eq!(one.get(&key).await.unwrap(), None);
    assert!(one.replace(&key, None, "b", MINUTE).await.unwrap());
});

on_every_engine!(put_overwrites, async |engine: Engine| {
    let ([one, other], key) = (engine.stores, document());
    for text in ["a", "b", "b"] {
        one.put(&key, text, MINUTE).await.unwrap();
        assert_eq!(other.get(&key).await.unwrap().as_deref(), Some(text));
    }
});

on_every_engine!(one_of_twenty_writers_succeeds, async |engine: Engine| {
    let ([one, other], key) = (engine.stores, document());
    for seen in [None, Some("0")] {
        let writers = (0..20).map(|n| {
            let store = if n % 2 == 0 { &one } else { &other };
            store.replace(&key, seen, "0", MINUTE)
        });
        let wrote = join_all(writers).await;
        let wrote = wrote.iter().filter(|wrote| *wrote.as_ref().unwrap());
        // The second time every writer finds what it expects.
        assert_eq!(wrote.count(), if seen.is_none() { 1 } else { 20 });
    }
});

on_every_engine!(one_of_ten_claims_succeeds, async |engine: Engine| {
    let ([one, other], key) = (engine.stores, claim());
    let ttl = Duration::from_secs(60);
    let claims = (0..10).map(|n| {
        let store = if n % 2 == 0 { &one } else { &other };
        store.claim(&key, ttl)
    });
    let claimed = join_all(claims).await;
    let claimed = claimed.iter().filter(|claimed| *claimed.as_ref().unwrap());
    assert_eq!(claimed.count(), 1);
    assert!(one.claim(&claim(), ttl).await.unwrap());
});

on_every_engine!(
    expired_documents_and_claims_are_gone,
    async |engine: Engine| {
        let [one, other] = &engine.stores;
        let ttl = Duration::from_millis(300);
        let (put, replaced, permanent, claimed) = (document(), document(), document(), claim());
        one.put(&put, "a", Some(ttl)).await.unwrap();
        assert!(one.replace(&replaced, None, "a", MINUTE).await.unwrap());
        assert!(
            one.replace(&replaced, Some("a"), "b", Some(ttl))
                .await
                .unwrap()
        );
        one.put(&permanent, "a", Some(ttl)).await.unwrap();
        one.put(&permanent, "b", None).await.unwrap();
        assert!(one.claim(&claimed, ttl).await.unwrap());
        tokio::time::sleep(ttl + Duration::from_millis(50)).await;
        if let Some(sql) = &engine.sql {
            sql.delete_expired(Timestamp::now()).await.unwrap();
        }
        let timeout = Duration::from_secs(5);
        for key in [&put, &replaced] {
            // A cached text may outlive its row, but no write succeeds on it.
            eventually_eq(timeout, true, async || {
                let seen = other.get(key).await.unwrap();
                let expected = seen.as_deref();
                other.replace(key, expected, "c", MINUTE).await.unwrap() && seen.is_none()
            })
            .await;
        }
        assert_eq!(other.get(&permanent).await.unwrap().as_deref(), Some("b"));
        eventually_eq(timeout, true, async || {
            other.claim(&claimed, ttl).await.unwrap()
        })
        .await;
    }
);

#[tokio::test]
async fn unreachable_redis_is_unavailable() {
    let absent = RedisServer::reserve();
    let endpoint = RedisEndpoint::new(&absent.url()).unwrap();
    let store = RedisDocuments::new(endpoint, "test", Duration::from_millis(200));
    let error = store.get("key").await.unwrap_err();
    assert!(matches!(error, DocumentError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn sql_rejects_keys_without_a_table() {
    let engine = sql(TestDatabase::sqlite()).await;
    let [store, _] = &engine.stores;
    for error in [
        store.get("risk:o-1").await.unwrap_err(),
        store.claim("lease", Duration::ZERO).await.unwrap_err(),
    ] {
        assert!(matches!(error, DocumentError::Refused(_)), "{error}");
    }
}

#[tokio::test]
async fn redis_keys_and_values_keep_their_format() {
    let (url, prefix) = (shared_redis_url().await, unique_prefix());
    let endpoint = RedisEndpoint::new(&url).unwrap();
    let store = RedisDocuments::new(endpoint.clone(), &prefix, Duration::from_secs(2));
    let ttl = Duration::from_secs(60);
    store.put("a", "text", None).await.unwrap();
    store.put("b", "text", Some(ttl)).await.unwrap();
    let replaced = store.replace("c", None, "text", Some(ttl)).await;
    assert!(replaced.unwrap());
    assert!(store.claim("d", ttl).await.unwrap());
    let mut link = endpoint.shared();
    for (key, text, expires) in [
        ("a", "text", false),
        ("b", "text", true),
        ("c", "text", true),
        ("d", "1", true),
    ] {
        let key = format!("{prefix}:v1:{key}");
        let stored: String = redis::cmd("GET")
            .arg(&key)
            .query_async(&mut link)
            .await
            .unwrap();
        assert_eq!(stored, text);
        let left: i64 = redis::cmd("PTTL")
            .arg(&key)
            .query_async(&mut link)
            .await
            .unwrap();
        assert!(if expires {
            (1..=60_000).contains(&left)
        } else {
            left == -1
        });
    }
}
