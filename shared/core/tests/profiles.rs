//! Session keys by version and profiles in the database, on both engines.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that can't go on has failed"
)]

use std::time::Duration;

use avalon_core::accounts::profiles::{Fields, Source, Update, rows};
use avalon_core::accounts::session_keys::{self, SessionKeys};
use avalon_core::accounts::sign_in::{self, SignInFacts};
use avalon_core::accounts::users::UserInfo;
use avalon_core::base::ids::SessionId;
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_core::storage::keyring::{EncryptionKey, Keyring};
use avalon_test_support::TestDatabase;
use avalon_wechat::{Code2Session, OpenId, SessionKey, UnionId};
use jiff::Timestamp;

const GRACE: Duration = Duration::from_secs(300);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

/// A player who has not signed in yet.
struct Player {
    database: Database,
    keyring: Keyring,
    open_id: OpenId,
}

impl Player {
    async fn on(database: &TestDatabase) -> Self {
        let config = DatabaseConfig {
            url: database.url().parse().unwrap(),
            ..DatabaseConfig::default()
        };
        let database = Database::new(&config).unwrap();
        database.migrate().await.unwrap();
        Self {
            database,
            keyring: Keyring::new(&EncryptionKey::from_bytes([1; 32]), &[]).unwrap(),
            open_id: OpenId::new("oPlayer"),
        }
    }

    /// Signs in with this key from WeChat.
    async fn sign_in(&self, key: &str, second: i64) -> UserInfo {
        self.sign_in_as(key, None, second).await
    }

    async fn sign_in_as(&self, key: &str, union_id: Option<&str>, second: i64) -> UserInfo {
        let exchanged = Code2Session {
            open_id: self.open_id.clone(),
            session_key: SessionKey::new(key.into()),
            union_id: union_id.map(UnionId::new),
        };
        let facts = SignInFacts {
            session: SessionId::new(),
            device_type: None,
            scene: None,
            touch: None,
        };
        let (database, keyring) = (&self.database, &self.keyring);
        let stored = sign_in::store(database, keyring, &exchanged, &facts, at(second)).await;
        stored.unwrap().user
    }

    async fn keys(&self) -> Option<SessionKeys> {
        let keys = session_keys::of_player(&self.database, &self.keyring, &self.open_id);
        keys.await.unwrap()
    }

    /// Returns the keys for data received at that second, and the version.
    async fn valid_at(&self, second: i64) -> (Vec<String>, i64) {
        let keys = self.keys().await.unwrap();
        let valid = keys.valid_at(at(second), GRACE);
        let valid = valid.map(|key| key.expose_secret().to_owned()).collect();
        (valid, keys.version)
    }

    async fn update(&self, source: Source, second: i64, name: &str) -> rows::Updated {
        let update = Update {
            fields: Fields {
                nickname: Some(name.to_owned()).filter(|name| !name.is_empty()),
                ..Fields::default()
            },
            standing: (source, at(second)),
            union_id: Some(UnionId::new("oUpdate")),
        };
        let updated = rows::update(&self.database, &self.open_id, &update, true, at(second));
        updated.await.unwrap().unwrap()
    }
}

fn keys<const N: usize>(keys: [&str; N], version: i64) -> (Vec<String>, i64) {
    (keys.map(str::to_owned).to_vec(), version)
}

#[tokio::test]
async fn previous_key_is_valid_for_the_grace_and_two_keys_are_stored() {
    for database in TestDatabase::both().await {
        let player = Player::on(&database).await;
        assert!(player.keys().await.is_none(), "{}", database.engine());
        player.sign_in("first", 0).await;
        assert_eq!(player.valid_at(0).await, keys(["first"], 1));
        player.sign_in("second", 100).await;
        assert_eq!(player.valid_at(100).await, keys(["second", "first"], 2));
        assert_eq!(player.valid_at(399).await, keys(["second", "first"], 2));
        assert_eq!(player.valid_at(400).await, keys(["second"], 2));
        // Data received before the key was replaced.
        assert_eq!(player.valid_at(50).await, keys(["second", "first"], 2));
        player.sign_in("third", 200).await;
        assert_eq!(player.valid_at(200).await, keys(["third", "second"], 3));
    }
}

#[tokio::test]
async fn same_key_again_is_no_new_version_and_extends_no_grace() {
    for database in TestDatabase::both().await {
        let player = Player::on(&database).await;
        player.sign_in("first", 0).await;
        player.sign_in("second", 100).await;
        player.sign_in("second", 390).await;
        assert_eq!(player.valid_at(399).await, keys(["second", "first"], 2));
        assert_eq!(
            player.valid_at(400).await,
            keys(["second"], 2),
            "the grace did not start over, {}",
            database.engine()
        );
    }
}

#[tokio::test]
async fn late_sign_in_does_not_restore_a_replaced_key() {
    for database in TestDatabase::both().await {
        let player = Player::on(&database).await;
        player.sign_in("first", 0).await;
        player.sign_in("second", 100).await;
        // WeChat replied to it before the last one.
        let late = player.sign_in("first", 110).await;
        assert_eq!(player.valid_at(110).await, keys(["second", "first"], 2));
        assert_eq!(late.last_login_at, at(110), "the rest of it counts");
    }
}

#[tokio::test]
async fn dead_key_stored_last_yields_to_the_key_of_later_sign_ins() {
    for database in TestDatabase::both().await {
        let player = Player::on(&database).await;
        // WeChat returned "dead" and then "live"; they were stored in reverse order.
        player.sign_in("live", 0).await;
        player.sign_in("dead", 5).await;
        assert_eq!(player.valid_at(5).await, keys(["dead", "live"], 2));
        // The order is not known yet, and both are valid.
        player.sign_in("live", 20).await;
        assert_eq!(player.valid_at(20).await, keys(["dead", "live"], 2));
        // Too late for a delayed write.
        player.sign_in("live", 36).await;
        assert_eq!(
            player.valid_at(36).await,
            keys(["live", "dead"], 3),
            "{}",
            database.engine()
        );
    }
}

#[tokio::test]
async fn concurrent_sign_ins_create_one_player_with_one_key() {
    for database in TestDatabase::both().await {
        let player = Player::on(&database).await;
        let sign_ins = (0..20).map(|_| player.sign_in("only", 0));
        let users = futures_util::future::join_all(sign_ins).await;
        assert!(users.iter().all(|user| user.id == users[0].id));
        assert_eq!(player.valid_at(0).await, keys(["only"], 1));
    }
}

#[tokio::test]
async fn reset_key_is_invalid_at_once() {
    for database in TestDatabase::both().await {
        let player = Player::on(&database).await;
        let key = |text: &str| SessionKey::new(text.into());
        let reset = async |old: &str, new: &str| {
            let (old, new) = (key(old), key(new));
            let (database, keyring) = (&player.database, &player.keyring);
            session_keys::reset(database, keyring, &player.open_id, &old, &new, at(5))
                .await
                .unwrap()
        };
        player.sign_in("leaked", 0).await;
        assert!(reset("leaked", "new").await);
        assert_eq!(player.valid_at(0).await, keys(["new"], 2));
        assert!(reset("leaked", "new").await, "the first reply was lost");
        assert_eq!(player.valid_at(0).await, keys(["new"], 2));
        assert!(!reset("leaked", "newer").await, "another was faster");
        assert_eq!(player.valid_at(0).await, keys(["new"], 2));
        player.sign_in("leaked", 10).await;
        assert_eq!(
            player.valid_at(10).await,
            keys(["new"], 2),
            "a late sign-in does not restore it, {}",
            database.engine()
        );
    }
}

#[tokio::test]
async fn newest_of_concurrent_profile_updates_wins() {
    for database in TestDatabase::both().await {
        let player = Player::on(&database).await;
        player.sign_in("key", 0).await;
        let names: Vec<String> = (1..=8).map(|n| format!("name-{n}")).collect();
        let updates = names
            .iter()
            .zip(1..)
            .map(|(name, second)| player.update(Source::Encrypted, second, name));
        futures_util::future::join_all(updates).await;
        let after = player.update(Source::Encrypted, 9, "").await;
        assert_eq!(after.user.nickname.as_deref(), Some("name-8"));
        assert_eq!(after.user.union_id.as_deref(), Some("oUpdate"));
        assert!(!after.changed);
        let raw = player.update(Source::Raw, 20, "raw").await;
        assert_eq!(
            raw.user.nickname.as_deref(),
            Some("name-8"),
            "{}",
            database.engine()
        );
    }
}

#[tokio::test]
async fn unionid_of_a_sign_in_outlasts_profile_updates() {
    for database in TestDatabase::both().await {
        let player = Player::on(&database).await;
        player.sign_in_as("key", Some("oSignIn"), 0).await;
        let updated = player.update(Source::Encrypted, 5, "Ann").await;
        assert_eq!(updated.user.union_id.as_deref(), Some("oSignIn"));
        assert_eq!(updated.user.updated_at, at(5));
    }
}

#[tokio::test]
async fn refused_nickname_is_removed_once_and_not_accepted_again() {
    for database in TestDatabase::both().await {
        let player = Player::on(&database).await;
        let user = player.sign_in("key", 0).await;
        let first = player.update(Source::Encrypted, 1, "rude").await;
        let same = player.update(Source::Encrypted, 1, "rude").await;
        assert_eq!((first.revision, same.revision), (1, 1));
        let refuse = async |name: &str| {
            rows::refuse_nickname(&player.database, user.id, name, at(2))
                .await
                .unwrap()
        };
        assert!(!refuse("other").await, "the player has another nickname");
        assert!(refuse("rude").await);
        assert!(!refuse("rude").await, "done already");
        let again = player.update(Source::Encrypted, 3, "rude").await;
        assert_eq!((again.user.nickname, again.changed), (None, false));
        let another = player.update(Source::Encrypted, 4, "kind").await;
        assert_eq!(another.user.nickname.as_deref(), Some("kind"));
        assert_eq!((again.revision, another.revision), (2, 3));
    }
}
