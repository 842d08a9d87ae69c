//! Bans and sessions that were restored from an older copy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::config::AuthConfig;
use avalon_core::accounts::sessions::{Device, EndReason, REDIS_TIMEOUT, SessionError, Sessions};
use avalon_core::accounts::users::{self, Ban};
use avalon_core::accounts::{bans, sign_in};
use avalon_core::base::ids::{SessionId, UserId};
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_core::storage::documents::{Documents, RedisDocuments};
use avalon_core::storage::keyring::{EncryptionKey, Keyring};
use avalon_queue::RedisEndpoint;
use avalon_test_support::{TestDatabase, shared_redis_url, unique_prefix};
use avalon_wechat::{Code2Session, OpenId, SessionKey};
use jiff::Timestamp;

struct Shop {
    database: Database,
    keyring: Arc<Keyring>,
    store: Arc<dyn Documents>,
    sessions: Sessions,
    _database: TestDatabase,
}

impl Shop {
    async fn new(test: TestDatabase) -> Self {
        let config = DatabaseConfig {
            url: test.url().parse().unwrap(),
            ..DatabaseConfig::default()
        };
        let database = Database::new(&config).unwrap();
        database.migrate().await.unwrap();
        let keyring = Keyring::new(&EncryptionKey::generate().unwrap(), &[]).unwrap();
        let keyring = Arc::new(keyring);
        let endpoint = RedisEndpoint::new(&shared_redis_url().await).unwrap();
        let store = RedisDocuments::new(endpoint, &unique_prefix(), REDIS_TIMEOUT);
        let store: Arc<dyn Documents> = Arc::new(store);
        let rules = AuthConfig::default().session_rules();
        Self {
            sessions: Sessions::new(Arc::clone(&store), Arc::clone(&keyring), rules),
            database,
            keyring,
            store,
            _database: test,
        }
    }

    async fn player(&self, open_id: &str) -> (UserId, SessionId) {
        let (id, now) = (SessionId::new(), Timestamp::now());
        let exchanged = Code2Session {
            open_id: OpenId::new(open_id),
            session_key: SessionKey::new("HyVFkGl5F5OQWJZZaNzBBg==".into()),
            union_id: None,
        };
        let facts = sign_in::SignInFacts {
            session: id,
            device_type: None,
            scene: None,
            touch: None,
        };
        let stored = sign_in::store(&self.database, &self.keyring, &exchanged, &facts, now).await;
        let user = stored.unwrap().user.id;
        let created = self
            .sessions
            .sign_in(user, open_id, id, Device::default(), now);
        created.await.unwrap();
        (user, id)
    }

    async fn ban(&self, user: UserId) {
        let ban = Ban {
            at: Timestamp::now(),
            reason: None,
        };
        users::set_ban(&self.database, user, Some(&ban))
            .await
            .unwrap();
        self.sessions.ban(user, ban.at).await.unwrap();
    }

    async fn is_live(&self, user: UserId, session: SessionId) -> bool {
        self.sessions
            .live(user, session, Timestamp::now())
            .await
            .is_ok()
    }
}

async fn restored_session_of_a_banned_player_ends(test: TestDatabase) {
    let shop = Shop::new(test).await;
    let (honest, honest_session) = shop.player("honest").await;
    let (cheat, session) = shop.player("cheat").await;
    let key = format!("sessions:{cheat}");
    let before = shop.store.get(&key).await.unwrap().unwrap();
    shop.ban(cheat).await;
    assert_eq!(
        bans::reconcile(&shop.database, &shop.sessions)
            .await
            .unwrap(),
        0
    );

    let hour = Some(Duration::from_secs(3600));
    shop.store.put(&key, &before, hour).await.unwrap();
    assert!(shop.is_live(cheat, session).await, "the ban is lost");
    assert_eq!(
        bans::reconcile(&shop.database, &shop.sessions)
            .await
            .unwrap(),
        1
    );
    assert!(!shop.is_live(cheat, session).await);
    let all = shop.sessions.of(cheat).await.unwrap();
    assert_eq!(all.all()[0].ended.unwrap().reason, EndReason::Banned);
    assert!(shop.is_live(honest, honest_session).await);
    assert_eq!(
        bans::reconcile(&shop.database, &shop.sessions)
            .await
            .unwrap(),
        0
    );
}

async fn lifted_ban_that_sessions_remember_is_lifted_again(test: TestDatabase) {
    let shop = Shop::new(test).await;
    let (user, _) = shop.player("forgiven").await;
    shop.ban(user).await;
    assert!(
        !bans::lift_if_lost(&shop.database, &shop.sessions, user)
            .await
            .unwrap()
    );
    // Only in the row: the store of sessions was restored.
    users::set_ban(&shop.database, user, None).await.unwrap();
    let (id, now) = (SessionId::new(), Timestamp::now());
    let create = || {
        shop.sessions
            .sign_in(user, "forgiven", id, Device::default(), now)
    };
    assert!(matches!(create().await, Err(SessionError::Banned(_))));
    assert!(
        bans::lift_if_lost(&shop.database, &shop.sessions, user)
            .await
            .unwrap()
    );
    create().await.unwrap();
}

macro_rules! on_both_databases {
    ($($name:ident)*) => {
        mod sqlite {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                super::$name(TestDatabase::sqlite()).await;
            })*
        }

        mod postgres {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                super::$name(TestDatabase::postgres().await).await;
            })*
        }
    };
}

on_both_databases! {
    restored_session_of_a_banned_player_ends
    lifted_ban_that_sessions_remember_is_lifted_again
}
