//! Sessions on every engine: a change by one process is visible to all at once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::config::DevicePolicy;
use avalon_core::accounts::sessions::{
    Device, EndReason, REDIS_TIMEOUT, Refusal, SessionError, SessionRules, Sessions,
};
use avalon_core::base::ids::{SessionId, UserId};
use avalon_core::base::problem::ProblemCode;
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_core::storage::documents::{Claim, Documents, RedisDocuments, SqlDocuments};
use avalon_core::storage::keyring::{EncryptionKey, Keyring};
use avalon_queue::RedisEndpoint;
use avalon_test_support::{RedisServer, TestDatabase, shared_redis_url, unique_prefix};
use futures_util::future::join_all;
use jiff::Timestamp;

const TTL: Duration = Duration::from_secs(3600);
const GRACE: Duration = Duration::from_secs(10);

/// Sessions as two processes see them, or one process twice where the engine allows only one.
struct Engine {
    one: Sessions,
    other: Sessions,
    _database: Option<TestDatabase>,
}

const RULES: SessionRules = SessionRules {
    policy: DevicePolicy::Single,
    ttl: TTL,
    max_age: TTL.saturating_mul(10),
    refresh_grace: GRACE,
};

fn in_redis(endpoint: RedisEndpoint, prefix: &str, keyring: &Arc<Keyring>) -> Sessions {
    let documents = RedisDocuments::new(endpoint, prefix, REDIS_TIMEOUT);
    Sessions::in_redis(documents, Arc::clone(keyring), RULES)
}

fn keyring() -> Arc<Keyring> {
    Arc::new(Keyring::new(&EncryptionKey::generate().unwrap(), &[]).unwrap())
}

async fn redis() -> Engine {
    let (url, prefix, keyring) = (shared_redis_url().await, unique_prefix(), keyring());
    let process = || {
        let endpoint = RedisEndpoint::new(&url).unwrap();
        in_redis(endpoint, &prefix, &keyring)
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
    let one = Sessions::new(Arc::new(SqlDocuments::new(pool)), keyring(), RULES);
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
    let signed_in = sessions.sign_in(user, "openid-1", id, Device::default(), now);
    (id, signed_in.await.unwrap().secrets.refresh_token)
}

fn refusal<T>(result: Result<T, SessionError>) -> Refusal {
    match result {
        Err(SessionError::Refused(refusal)) => refusal,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was not refused"),
    }
}

on_every_engine!(
    session_is_live_until_any_process_ends_it,
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
    reuse_of_a_refresh_token_ends_the_session,
    async |engine: Engine| {
        let (user, now) = (UserId::new(), Timestamp::now());
        let (id, first) = sign_in(&engine.one, user).await;
        let before = engine.one.live(user, id, now).await.unwrap();
        let refreshed = engine.other.refresh(&first, now).await.unwrap();
        assert_eq!((refreshed.user, refreshed.id), (user, id));
        let after = engine.one.live(user, id, now).await.unwrap();
        let key = |session| engine.one.signing_key(session).unwrap().expose().to_vec();
        assert_eq!(key(&before), key(&after), "the signing key stays");

        let late = now + GRACE + Duration::from_millis(1);
        let reused = engine.one.refresh(&first, late).await;
        assert!(matches!(reused, Err(SessionError::RefreshReused(u, s)) if (u, s) == (user, id)));
        let refused = refusal(engine.other.live(user, id, now).await);
        assert_eq!(refused, Refusal::Ended(EndReason::RefreshReused));
        let second = refreshed.secrets.refresh_token;
        let refused = refusal(engine.other.refresh(&second, now).await);
        assert_eq!(refused, Refusal::Ended(EndReason::RefreshReused));
    }
);

on_every_engine!(
    twenty_concurrent_refreshes_get_the_same_token,
    async |engine: Engine| {
        let (user, now) = (UserId::new(), Timestamp::now());
        let (_, token) = sign_in(&engine.one, user).await;
        let tries = (0..20_u64).map(|n| {
            let now = now + Duration::from_millis(n);
            let sessions = if n % 2 == 0 {
                &engine.one
            } else {
                &engine.other
            };
            sessions.refresh(&token, now)
        });
        let all = join_all(tries).await.into_iter();
        let all: Vec<_> = all.map(Result::unwrap).collect();
        assert_eq!(
            all.iter().filter(|refreshed| !refreshed.repeated).count(),
            1
        );
        for one in &all {
            assert_eq!(one.secrets.refresh_token, all[0].secrets.refresh_token);
            assert_eq!((one.at, one.id), (all[0].at, all[0].id));
        }
    }
);

on_every_engine!(
    concurrent_sign_ins_leave_one_live_session,
    async |engine: Engine| {
        let (user, now) = (UserId::new(), Timestamp::now());
        let signed_in = join_all((0..30).map(|n| {
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
        let live = join_all(
            signed_in
                .iter()
                .map(|(id, _)| engine.one.live(user, *id, now)),
        )
        .await;
        assert_eq!(live.iter().filter(|live| live.is_ok()).count(), 1);
    }
);

on_every_engine!(
    ban_ends_all_sessions_and_refuses_new_ones,
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
    ban_of_a_player_without_sessions_can_be_lifted,
    async |engine: Engine| {
        let (user, now) = (UserId::new(), Timestamp::now());
        assert!(engine.one.ban(user, now).await.unwrap().is_empty());
        engine.other.lift_ban(user, now).await.unwrap();
        sign_in(&engine.one, user).await;
    }
);

on_every_engine!(
    change_by_a_dropped_caller_is_visible_to_the_next,
    async |engine: Engine| {
        let (user, now) = (UserId::new(), Timestamp::now());
        for wait in 0..20 {
            let (id, _) = sign_in(&engine.one, user).await;
            let end = engine.one.end(user, id, EndReason::SignedOut, now);
            let _ = tokio::time::timeout(Duration::from_micros(wait * 50), end).await;
            // Whether it happened or not, the next caller sees the stored state.
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
    nonce_can_be_claimed_once_per_session,
    async |engine: Engine| {
        let (session, now) = (SessionId::new(), Timestamp::now());
        engine.one.begin_nonces(now).await.unwrap();
        let claims = (0..10).map(|n| {
            let sessions = if n % 2 == 0 {
                &engine.one
            } else {
                &engine.other
            };
            claim(sessions, session, "n-1", now)
        });
        let claimed = join_all(claims).await;
        let claimed = claimed.iter().filter(|claim| **claim == Claim::Claimed);
        assert_eq!(claimed.count(), 1);
        let again = claim(&engine.other, session, "n-1", now).await;
        assert_eq!(again, Claim::Taken);
        let other_nonce = claim(&engine.one, session, "n-2", now).await;
        assert_eq!(other_nonce, Claim::Claimed);
        let other_session = claim(&engine.one, SessionId::new(), "n-1", now).await;
        assert_eq!(other_session, Claim::Claimed);
    }
);

/// Claims a nonce of a request that was signed at this time and is received a second later.
async fn claim(sessions: &Sessions, session: SessionId, nonce: &str, signed: Timestamp) -> Claim {
    let (at, now) = (signed.as_second(), signed + Duration::from_secs(1));
    let claimed = sessions.claim_nonce(session, nonce, at, now, Duration::from_secs(60));
    claimed.await.unwrap()
}

#[tokio::test]
async fn request_signed_before_a_loss_of_nonces_is_refused() {
    let (url, prefix) = (shared_redis_url().await, unique_prefix());
    let endpoint = RedisEndpoint::new(&url).unwrap();
    let store = RedisDocuments::new(endpoint.clone(), &prefix, REDIS_TIMEOUT);
    let sessions = in_redis(endpoint, &prefix, &keyring());
    let (session, now) = (SessionId::new(), Timestamp::now());
    sessions.begin_nonces(now).await.unwrap();
    assert_eq!(claim(&sessions, session, "n", now).await, Claim::Claimed);
    // The node of the nonces was flushed, that of the sessions was not.
    let tag = session.as_ulid().0 % 16;
    let nonce = format!("nonce:{{n{tag}}}:{session}:n");
    assert!(store.remove(&nonce, "1").await.unwrap());
    let epoch = format!("nonce-epoch:{{n{tag}}}");
    let marker = store.get(&epoch).await.unwrap().unwrap();
    assert!(store.remove(&epoch, &marker).await.unwrap());
    for _ in 0..2 {
        assert_eq!(claim(&sessions, session, "n", now).await, Claim::MaybeLost);
    }
    let signed_again = now + Duration::from_secs(2);
    assert_eq!(
        claim(&sessions, session, "n", signed_again).await,
        Claim::Claimed
    );

    // A marker of a clock that was an hour ahead refuses no more than this second.
    let ahead = (now.as_second() + 3600).to_string();
    store.put(&epoch, &ahead, None).await.unwrap();
    let received = now + Duration::from_secs(3);
    let at = received.as_second() + 1;
    let claimed = sessions.claim_nonce(session, "m", at, received, Duration::from_secs(60));
    assert_eq!(claimed.await.unwrap(), Claim::Claimed);
}

on_every_engine!(
    malformed_refresh_tokens_are_unknown,
    async |engine: Engine| {
        let now = Timestamp::now();
        let (user, session) = (UserId::new(), SessionId::new());
        let (_, valid) = sign_in(&engine.one, user).await;
        let long = "x".repeat(10_000);
        let foreign = valid.replacen(&user.to_string(), &UserId::new().to_string(), 1);
        for text in [
            "",
            ".",
            "..",
            "a.b.c",
            &format!("{user}.{session}."),
            &long,
            &foreign,
            &valid[1..],
        ] {
            assert_eq!(
                refusal(engine.one.refresh(text, now).await),
                Refusal::Unknown,
                "{text}"
            );
        }
        engine.one.refresh(&valid, now).await.unwrap();
    }
);

#[tokio::test]
async fn redis_outage_is_transient_and_sessions_survive_it() {
    let mut server = RedisServer::start().await;
    let endpoint = RedisEndpoint::new(&server.url()).unwrap();
    let sessions = in_redis(endpoint, "test", &keyring());
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
async fn refresh_after_a_key_rotation_drops_the_old_key() {
    let (url, prefix) = (shared_redis_url().await, unique_prefix());
    let (old, new) = (
        EncryptionKey::from_bytes([1; 32]),
        EncryptionKey::from_bytes([2; 32]),
    );
    let with = |current: &EncryptionKey, previous: &[EncryptionKey]| {
        let endpoint = RedisEndpoint::new(&url).unwrap();
        let keyring = Arc::new(Keyring::new(current, previous).unwrap());
        in_redis(endpoint, &prefix, &keyring)
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
    // Without its key the session is over, and the cure is a new sign-in.
    assert_eq!(error.code(), ProblemCode::SessionEnded);
    let token = &refreshed.secrets.refresh_token;
    let refused = before.refresh(token, now).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), ProblemCode::SessionEnded);
}
