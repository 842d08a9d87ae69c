//! The access token of a fleet on both engines, with the simulator as WeChat: one fetch for all, and a
//! refused token is replaced once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::sync::Arc;
use std::time::Duration;

use avalon_core::platform::token::{PlatformTokens, REDIS_TIMEOUT, Timing, TokenMetrics};
use avalon_core::storage::documents::{Documents, MemoryDocuments, RedisDocuments};
use avalon_core::storage::keyring::{EncryptionKey, Keyring};
use avalon_queue::RedisEndpoint;
use avalon_simulator::{Simulator, SimulatorSettings};
use avalon_test_support::{RedisServer, eventually_eq, shared_redis_url, unique_prefix};
use avalon_wechat::{
    AccessToken, AccessTokenError, AccessTokens, AppId, ErrorClass, WechatClient, WechatMetrics,
    WechatSettings,
};
use futures_util::future::join_all;
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A simulated platform and a document store; each call of `store` is another process', if the engine
/// allows more than one.
struct World {
    base: String,
    keyring: Arc<Keyring>,
    store: Box<dyn Fn() -> Arc<dyn Documents> + Send + Sync>,
}

async fn local() -> World {
    let store: Arc<dyn Documents> = Arc::new(MemoryDocuments::default());
    World::new(Box::new(move || Arc::clone(&store))).await
}

async fn redis() -> World {
    let (url, prefix) = (shared_redis_url().await, unique_prefix());
    World::new(Box::new(move || {
        let endpoint = RedisEndpoint::new(&url).unwrap();
        Arc::new(RedisDocuments::new(endpoint, &prefix, REDIS_TIMEOUT))
    }))
    .await
}

fn timing() -> Timing {
    Timing::for_calls_of(Duration::from_secs(5))
}

impl World {
    async fn new(store: Box<dyn Fn() -> Arc<dyn Documents> + Send + Sync>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let simulator = Simulator::new(SimulatorSettings::new("wx0123456789abcdef", "secret"));
        tokio::spawn(simulator.serve(listener, std::future::pending()));
        let key = EncryptionKey::generate().unwrap();
        Self {
            base,
            keyring: Arc::new(Keyring::new(&key, &[]).unwrap()),
            store,
        }
    }

    fn holder(&self) -> PlatformTokens {
        self.holder_with(timing())
    }

    fn holder_with(&self, timing: Timing) -> PlatformTokens {
        let registry = Registry::new();
        let settings = WechatSettings {
            app_id: AppId::new("wx0123456789abcdef"),
            app_secret: "secret".into(),
            api_base: self.base.parse().unwrap(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
        };
        let wechat = WechatClient::new(settings, WechatMetrics::new(&registry).unwrap()).unwrap();
        let metrics = TokenMetrics::new(&registry).unwrap();
        PlatformTokens::new(
            wechat,
            (self.store)(),
            Arc::clone(&self.keyring),
            timing,
            metrics,
        )
    }

    async fn control(&self, method: reqwest::Method, path: &str, body: &str) -> Value {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.request(method, format!("{}/_sim{path}", self.base));
        let response = request.body(body.to_owned()).send().await.unwrap();
        assert!(response.status().is_success(), "{path} {body}");
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default()
    }

    async fn put(&self, path: &str, body: &Value) {
        self.control(reqwest::Method::PUT, path, &body.to_string())
            .await;
    }

    /// Number of fetches that WeChat received.
    async fn fetches(&self) -> u64 {
        let path = "/requests/count?api=stable_token";
        self.control(reqwest::Method::GET, path, "").await["count"]
            .as_u64()
            .unwrap()
    }

    async fn forced(&self) -> u64 {
        self.control(reqwest::Method::GET, "/tokens", "").await["forcedToday"]
            .as_u64()
            .unwrap()
    }

    /// Makes WeChat refuse every token so far.
    async fn leak(&self, sticky: bool) {
        let body = json!({"sticky": sticky}).to_string();
        self.control(reqwest::Method::POST, "/tokens/invalidate", &body)
            .await;
    }
}

async fn all_of(holders: &[PlatformTokens]) -> Vec<AccessToken> {
    let tokens = holders.iter().map(PlatformTokens::current);
    join_all(tokens)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect()
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
            async fn local() {
                ($body)(super::local().await).await;
            }
        }
    };
}

on_every_engine!(ten_holders_cause_one_fetch, async |world: World| {
    // Slow enough that all of them ask while the one fetches.
    world.put("/faults", &json!({"latencyMs": 200})).await;
    let holders: Vec<_> = (0..10).map(|_| world.holder()).collect();
    let tokens = all_of(&holders).await;
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!(world.fetches().await, 1);
    all_of(&holders).await;
    assert_eq!(world.fetches().await, 1, "it is stored");
});

on_every_engine!(
    refused_token_is_replaced_once_for_all_processes,
    async |world: World| {
        let holders: Vec<_> = (0..10).map(|_| world.holder()).collect();
        let old = all_of(&holders).await;
        world.leak(false).await;
        let new = join_all(holders.iter().map(async |holder| {
            holder.refused(&old[0]).await.unwrap();
            holder.current().await.unwrap()
        }))
        .await;
        assert!(new.iter().all(|token| *token == new[0] && *token != old[0]));
        assert_eq!(world.fetches().await, 2);
        assert_eq!(world.forced().await, 0);
        // A late refusal of the old one.
        holders[3].refused(&old[0]).await.unwrap();
        assert_eq!(holders[3].current().await.unwrap(), new[0]);
        assert_eq!(world.fetches().await, 2);
    }
);

on_every_engine!(
    renewal_is_forced_only_if_wechat_returns_the_refused_token,
    async |world: World| {
        let holder = world.holder();
        let old = holder.current().await.unwrap();
        world.leak(true).await;
        holder.refused(&old).await.unwrap();
        let new = holder.current().await.unwrap();
        assert_ne!(new, old);
        assert_eq!(world.forced().await, 1);
    }
);

on_every_engine!(
    token_that_cannot_be_replaced_stays_in_use,
    async |world: World| {
        let (holder, other) = (world.holder(), world.holder());
        let first = holder.current().await.unwrap();
        // One API refuses it, and WeChat still issues it: the renewal is forced.
        holder.refused(&first).await.unwrap();
        let second = holder.current().await.unwrap();
        assert_ne!(second, first);
        assert_eq!(world.forced().await, 1);
        // It refuses the next one too. Within half a minute WeChat would not replace it.
        holder.refused(&second).await.unwrap();
        for holder in [&holder, &other] {
            assert_eq!(
                holder.current().await.unwrap(),
                second,
                "WeChat issues no other"
            );
        }
        let fetches = world.fetches().await;
        for _ in 0..3 {
            holder.refused(&second).await.unwrap();
            assert_eq!(holder.current().await.unwrap(), second);
            assert_eq!(other.current().await.unwrap(), second);
        }
        assert_eq!(world.fetches().await, fetches, "WeChat is not asked again");
        assert_eq!(world.forced().await, 1);
    }
);

on_every_engine!(
    another_process_fetches_after_the_lease_of_a_dead_one,
    async |world: World| {
        let lease = Some(Duration::from_millis(400));
        let key = "{access_token}:lease";
        let store = (world.store)();
        assert!(store.replace(key, None, "dead", lease).await.unwrap());
        let impatient = world.holder_with(Timing {
            wait_timeout: Duration::from_millis(50),
            ..timing()
        });
        let late = impatient.current().await.unwrap_err();
        assert!(matches!(late, AccessTokenError::TimedOut), "{late:?}");
        assert_eq!(world.fetches().await, 0);
        world.holder().current().await.unwrap();
        assert_eq!(world.fetches().await, 1);
    }
);

on_every_engine!(
    dropped_caller_does_not_stop_the_fetch,
    async |world: World| {
        world.put("/faults", &json!({"latencyMs": 300})).await;
        let holder = world.holder();
        let gave_up = tokio::time::timeout(Duration::from_millis(100), holder.current()).await;
        assert!(gave_up.is_err());
        holder.current().await.unwrap();
        assert_eq!(world.fetches().await, 1);
    }
);

on_every_engine!(
    token_near_expiry_is_used_and_renewed_in_background,
    async |world: World| {
        let eager = Timing {
            // Every token is near its expiry, and may be renewed at once.
            renew_before: Duration::from_secs(10_000),
            spacing: Duration::ZERO,
            ..timing()
        };
        let holder = world.holder_with(eager);
        let first = holder.current().await.unwrap();
        world
            .put("/settings", &json!({"clockSkewSeconds": 7000}))
            .await;
        world.put("/faults", &json!({"latencyMs": 300})).await;
        assert_eq!(holder.current().await.unwrap(), first, "no wait");
        eventually_eq(Duration::from_secs(5), true, async || {
            holder.current().await.unwrap() != first
        })
        .await;
    }
);

on_every_engine!(
    failed_fetch_makes_all_processes_back_off,
    async |world: World| {
        let holder = world.holder();
        world.put("/faults", &json!({"errcode": 40125})).await;
        let error = holder.current().await.unwrap_err();
        assert!(matches!(error, AccessTokenError::Fetch(_)), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Misconfigured);
        let error = world.holder().current().await.unwrap_err();
        assert!(
            matches!(error, AccessTokenError::BackingOff { .. }),
            "{error:?}"
        );
        assert_eq!(world.fetches().await, 1, "for all holders");
    }
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_token_outlasts_a_redis_outage() {
    let mut server = RedisServer::start().await;
    let url = server.url();
    let world = World::new(Box::new(move || {
        let endpoint = RedisEndpoint::new(&url).unwrap();
        Arc::new(RedisDocuments::new(endpoint, "test", REDIS_TIMEOUT))
    }))
    .await;
    let (holder, stranger) = (world.holder(), world.holder());
    let token = holder.current().await.unwrap();
    server.stop();
    assert_eq!(holder.current().await.unwrap(), token);
    let error = stranger.current().await.unwrap_err();
    assert!(matches!(error, AccessTokenError::Store(_)), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Retry);
    assert!(holder.refused(&token).await.is_err());
    assert!(
        holder.current().await.is_err(),
        "a refused token is not reused"
    );
    server.launch().await;
    eventually_eq(Duration::from_secs(10), true, async || {
        holder.current().await.is_ok()
    })
    .await;
}
