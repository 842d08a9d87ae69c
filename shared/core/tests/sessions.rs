//! The store of sessions on every engine: what one process does, every other process sees at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::config::DevicePolicy;
use avalon_core::accounts::sessions::{
    Device, EndReason, RedisSessions, Refusal, SessionError, SessionStore, Sessions, SqlSessions,
};
use avalon_core::base::ids::{SessionId, UserId};
use avalon_core::base::problem::ProblemCode;
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_core::storage::keyring::{EncryptionKey, Keyring};
use avalon_queue::RedisEndpoint;
use avalon_test_support::{RedisServer, TestDatabase, shared_redis_url, unique_prefix};
use futures_util::future::join_all;
use jiff::Timestamp;

const TTL: Duration = Duration::from_secs(3600);

/// Sessions as two processes see them (one process, where the engine has but one), with what keeps
/// the engine alive.
struct Engine {
    one: Sessions,
    other: Sessions,
    _database: Option<TestDatabase>,
}

fn sessions(store: Arc<dyn SessionStore>, keyring: &Arc<Keyring>) -> Sessions {
    Sessions::new(store, Arc::clone(keyring), DevicePolicy::Single, TTL)
}

fn keyring() -> Arc<Keyring> {
    Arc::new(Keyring::new(&EncryptionKey::generate().unwrap(), &[]).unwrap())
}

async fn redis() -> Engine {
    let (url, prefix, keyring) = (shared_redis_url().await, unique_prefix(), keyring());
    let process = || {
        let endpoint = RedisEndpoint::new(&url).unwrap();
        sessions(Arc::new(RedisSessions::new(endpoint, &prefix)), &keyring)
    };
    Engine {
        one: process(),
        other: process(),
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
    let one = sessions(Arc::new(SqlSessions::new(pool)), &keyring());
    Engine {
        other: one.clone(),
        one,
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

async fn sign_in(sessions: &Sessions, user: UserId) -> (SessionId, String) {
    let (id, now) = (SessionId::new(), Timestamp::now());
    let made = sessions.sign_in(user, "openid-1", id, Device::default(), now);
    (id, made.await.unwrap().secrets.refresh_token)
}

fn refusal<T>(result: Result<T, SessionError>) -> Refusal {
    match result {
        Err(SessionError::Refused(refusal)) => refusal,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was not refused"),
    }
}

on_every_engine!(
    a_session_lives_until_it_is_ended_and_everybody_knows_at_once,
    async |engine: Engine| {
        let (user, now) = (UserId::new(), Timestamp::now());
        assert_eq!(
            refusal(engine.one.live(user, SessionId::new(), now).await),
            Refusal::Unknown
        );
        let (id, _) = sign_in(&engine.one, user).await;
        let session = engine.other.live(user, id, now).await.unwrap();
        assert_eq!((session.id, session.open_id.as_str()), (id, "openid-1"));
        assert_eq!(
            engine.other.signing_key(&session).unwrap().expose().len(),
            32
        );

        assert!(
            engine
                .other
                .end(user, id, EndReason::SignedOut, now)
                .await
                .unwrap()
        );
        let refused = refusal(engine.one.live(user, id, now).await);
        assert_eq!(refused, Refusal::Ended(EndReason::SignedOut));
        assert!(
            !engine
                .one
                .end(user, id, EndReason::SignedOut, now)
                .await
                .unwrap()
        );
    }
);

on_every_engine!(
    a_refresh_token_is_good_once_and_its_reuse_ends_the_session,
    async |engine: Engine| {
        let (user, now) = (UserId::new(), Timestamp::now());
        let (id, first) = sign_in(&engine.one, user).await;
        let before = engine.one.live(user, id, now).await.unwrap();
        let refreshed = engine.other.refresh(&first, now).await.unwrap();
        assert_eq!((refreshed.user, refreshed.id), (user, id));
        let after = engine.one.live(user, id, now).await.unwrap();
        let key = |session| engine.one.signing_key(session).unwrap().expose().to_vec();
        assert_eq!(key(&before), key(&after), "the signing key stays");

        let reused = engine.one.refresh(&first, now).await;
        assert!(matches!(reused, Err(SessionError::RefreshReused(u, s)) if (u, s) == (user, id)));
        let refused = refusal(engine.other.live(user, id, now).await);
        assert_eq!(refused, Refusal::Ended(EndReason::RefreshReused));
        let second = refreshed.secrets.refresh_token;
        let refused = refusal(engine.other.refresh(&second, now).await);
        assert_eq!(refused, Refusal::Ended(EndReason::RefreshReused));
    }
);

on_every_engine!(
    of_twenty_refreshes_at_once_one_is_good,
    async |engine: Engine| {
        let (user, now) = (UserId::new(), Timestamp::now());
        let (_, token) = sign_in(&engine.one, user).await;
        let tries = (0..20).map(|n| {
            let sessions = if n % 2 == 0 {
                &engine.one
            } else {
                &engine.other
            };
            sessions.refresh(&token, now)
        });
        let good = join_all(tries)
            .await
            .iter()
            .filter(|tried| tried.is_ok())
            .count();
        assert_eq!(good, 1);
    }
);

on_every_engine!(
    of_many_sign_ins_at_once_one_session_lives,
    async |engine: Engine| {
        let (user, now) = (UserId::new(), Timestamp::now());
        let made = join_all((0..30).map(|n| {
            sign_in(
                if n % 2 == 0 {
                    &engine.one
                } else {
                    &engine.other
                },
                user,
            )
        }))
        .await;
        let lives = join_all(made.iter().map(|(id, _)| engine.one.live(user, *id, now))).await;
        assert_eq!(lives.iter().filter(|live| live.is_ok()).count(), 1);
    }
);

on_every_engine!(
    a_ban_ends_all_sessions_and_lets_no_new_one_be_made,
    async |engine: Engine| {
        let (user, now) = (UserId::new(), Timestamp::now());
        let (id, _) = sign_in(&engine.one, user).await;
        assert_eq!(engine.other.ban(user, now).await.unwrap(), [id]);
        let refused = refusal(engine.one.live(user, id, now).await);
        assert_eq!(refused, Refusal::Ended(EndReason::Banned));
        let tried = engine
            .one
            .sign_in(user, "openid-1", SessionId::new(), Device::default(), now);
        assert!(matches!(tried.await, Err(SessionError::Banned(_))));
        engine.one.lift_ban(user, now).await.unwrap();
        sign_in(&engine.other, user).await;
    }
);

on_every_engine!(
    a_ban_of_a_player_without_sessions_can_be_lifted,
    async |engine: Engine| {
        let (user, now) = (UserId::new(), Timestamp::now());
        assert!(engine.one.ban(user, now).await.unwrap().is_empty());
        engine.other.lift_ban(user, now).await.unwrap();
        sign_in(&engine.one, user).await;
    }
);

on_every_engine!(
    a_change_whose_caller_has_gone_is_seen_by_the_next,
    async |engine: Engine| {
        let (user, now) = (UserId::new(), Timestamp::now());
        for patience in 0..20 {
            let (id, _) = sign_in(&engine.one, user).await;
            let end = engine.one.end(user, id, EndReason::SignedOut, now);
            let patience = Duration::from_micros(patience * 50);
            let _ = tokio::time::timeout(patience, end).await;
            // Whether it happened or not: who ends it for sure afterwards finds the truth.
            engine
                .other
                .end(user, id, EndReason::SignedOut, now)
                .await
                .unwrap();
            assert!(engine.one.live(user, id, now).await.is_err());
        }
    }
);

on_every_engine!(
    a_nonce_can_be_taken_once_by_each_session,
    async |engine: Engine| {
        let (session, keep) = (SessionId::new(), Duration::from_secs(60));
        let takes = (0..10).map(|n| {
            let sessions = if n % 2 == 0 {
                &engine.one
            } else {
                &engine.other
            };
            sessions.claim_nonce(session, "n-1", keep)
        });
        let taken = join_all(takes).await;
        assert_eq!(
            taken
                .iter()
                .filter(|taken| *taken.as_ref().unwrap())
                .count(),
            1
        );
        assert!(engine.one.claim_nonce(session, "n-2", keep).await.unwrap());
        assert!(
            engine
                .one
                .claim_nonce(SessionId::new(), "n-1", keep)
                .await
                .unwrap()
        );
    }
);

on_every_engine!(rubbish_is_no_refresh_token, async |engine: Engine| {
    let now = Timestamp::now();
    let (user, session) = (UserId::new(), SessionId::new());
    let (_, good) = sign_in(&engine.one, user).await;
    let long = "x".repeat(10_000);
    let foreign = good.replacen(&user.to_string(), &UserId::new().to_string(), 1);
    for text in [
        "",
        ".",
        "..",
        "a.b.c",
        &format!("{user}.{session}."),
        &long,
        &foreign,
        &good[1..],
    ] {
        assert_eq!(
            refusal(engine.one.refresh(text, now).await),
            Refusal::Unknown,
            "{text}"
        );
    }
    engine.one.refresh(&good, now).await.unwrap();
});

#[tokio::test]
async fn a_redis_that_is_away_is_told_as_such_and_sessions_survive_its_restart() {
    let mut server = RedisServer::start().await;
    let endpoint = RedisEndpoint::new(&server.url()).unwrap();
    let sessions = sessions(Arc::new(RedisSessions::new(endpoint, "test")), &keyring());
    let (user, now) = (UserId::new(), Timestamp::now());
    let (id, _) = sign_in(&sessions, user).await;
    server.stop();
    let refused = sessions.live(user, id, now).await;
    assert!(refused.unwrap_err().is_transient());
    server.launch().await;
    avalon_test_support::eventually_eq(Duration::from_secs(10), true, async || {
        sessions.live(user, id, now).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_session_that_was_refreshed_after_a_key_rotation_needs_the_old_key_no_more() {
    let (url, prefix) = (shared_redis_url().await, unique_prefix());
    let (old, new) = (
        EncryptionKey::from_bytes([1; 32]),
        EncryptionKey::from_bytes([2; 32]),
    );
    let with = |current: &EncryptionKey, previous: &[EncryptionKey]| {
        let endpoint = RedisEndpoint::new(&url).unwrap();
        let keyring = Arc::new(Keyring::new(current, previous).unwrap());
        sessions(Arc::new(RedisSessions::new(endpoint, &prefix)), &keyring)
    };
    let (user, id, now) = (UserId::new(), SessionId::new(), Timestamp::now());
    let before = with(&old, &[]);
    let signed_in = before
        .sign_in(user, "o-1", id, Device::default(), now)
        .await
        .unwrap();
    let secrets = signed_in.secrets;

    let both = with(&new, &[old]);
    let refreshed = both.refresh(&secrets.refresh_token, now).await.unwrap();
    assert_eq!(refreshed.secrets.signing_key, secrets.signing_key);

    let after = with(&new, &[]);
    let session = after.live(user, id, now).await.unwrap();
    assert!(after.signing_key(&session).is_ok());
    let Err(error) = before.signing_key(&session) else {
        panic!("it was sealed again");
    };
    // Without its key the session is over, and a sign-in is the cure.
    assert_eq!(error.code(), ProblemCode::SessionEnded);
    let token = &refreshed.secrets.refresh_token;
    let refused = before.refresh(token, now).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), ProblemCode::SessionEnded);
}
