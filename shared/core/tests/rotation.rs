//! Rotation of encryption keys on both databases, beside players who go on signing in.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use avalon_core::base::ids::UserId;
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_core::storage::keyring::{EncryptionKey, Keyring};
use avalon_core::storage::rotation::{self, KeyStanding, Rotated};
use avalon_test_support::TestDatabase;
use secrecy::ExposeSecret;
use sqlx::Row;

async fn migrated(test: &TestDatabase) -> Database {
    let config = DatabaseConfig {
        url: test.url().parse().unwrap(),
        ..DatabaseConfig::default()
    };
    let database = Database::new(&config).unwrap();
    database.migrate().await.unwrap();
    database
}

fn key(byte: u8) -> EncryptionKey {
    EncryptionKey::from_bytes([byte; 32])
}

fn ring(current: u8, previous: &[u8]) -> Keyring {
    let previous: Vec<_> = previous.iter().map(|byte| key(*byte)).collect();
    Keyring::new(&key(current), &previous).unwrap()
}

fn aad(player: u32) -> String {
    format!("users.session_key:o-{player}")
}

/// Writes a player's session key as a sign-in does: the one before it is kept beside it.
async fn write(database: &Database, ring: &Keyring, player: u32, text: &str) {
    let sealed = ring.seal(text.as_bytes(), aad(player).as_bytes()).unwrap();
    sqlx::query(
        "INSERT INTO users (id, open_id, session_key, session_key_kid, created_at, updated_at,
                            last_login_at)
         VALUES ($1, $2, $3, $4, 0, 0, 0)
         ON CONFLICT (open_id) DO UPDATE SET
             previous_session_key = users.session_key,
             previous_session_key_kid = users.session_key_kid,
             session_key = excluded.session_key, session_key_kid = excluded.session_key_kid",
    )
    .bind(UserId::new().to_string())
    .bind(format!("o-{player}"))
    .bind(sealed.ciphertext)
    .bind(sealed.key_id)
    .execute(database.pool())
    .await
    .unwrap();
}

/// What a ring reads of a player: the key and the one before it.
async fn read(database: &Database, ring: &Keyring, player: u32) -> Vec<String> {
    let row = sqlx::query(
        "SELECT session_key, session_key_kid, previous_session_key, previous_session_key_kid
         FROM users WHERE open_id = $1",
    )
    .bind(format!("o-{player}"))
    .fetch_one(database.pool())
    .await
    .unwrap();
    let mut read = Vec::new();
    for column in [0, 2] {
        let (sealed, key_id): (Option<Vec<u8>>, Option<String>) =
            (row.get(column), row.get(column + 1));
        let Some((sealed, key_id)) = sealed.zip(key_id) else {
            continue;
        };
        let opened = ring.open(&key_id, &sealed, aad(player).as_bytes()).unwrap();
        read.push(String::from_utf8(opened.expose_secret().to_vec()).unwrap());
    }
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_rotation_beside_players_who_sign_in_the_old_keys_are_not_needed() {
    const PLAYERS: u32 = 700;
    for test in TestDatabase::both().await {
        let database = migrated(&test).await;
        for player in 0..PLAYERS {
            // Two generations of old keys.
            let old = ring(if player % 2 == 0 { 1 } else { 2 }, &[]);
            write(&database, &old, player, &format!("old-{player}")).await;
        }
        let rotating = Arc::new(ring(3, &[1, 2]));
        let done = Arc::new(AtomicBool::new(false));
        let signing_in = {
            let (database, ring) = (database.clone(), Arc::clone(&rotating));
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                let mut written: HashMap<u32, Vec<String>> = HashMap::new();
                let mut turn = 0_u32;
                while !done.load(Ordering::Relaxed) || turn == 0 {
                    let player = turn.wrapping_mul(7919) % PLAYERS;
                    let text = format!("new-{turn}");
                    write(&database, &ring, player, &text).await;
                    written.entry(player).or_default().push(text);
                    turn += 1;
                }
                written
            })
        };
        let mut steps = 0;
        let rotated = rotation::rotate(&database, &rotating, |_| steps += 1);
        let rotated = rotated.await.unwrap();
        done.store(true, Ordering::Relaxed);
        let written = signing_in.await.unwrap();
        assert!(rotated.is_complete() && rotated.resealed > 0, "{rotated:?}");
        assert!(steps > 1, "in batches");

        let new_only = ring(3, &[]);
        for player in 0..PLAYERS {
            let mut keys = vec![format!("old-{player}")];
            keys.extend(written.get(&player).cloned().unwrap_or_default());
            let last_two: Vec<_> = keys.into_iter().rev().take(2).collect();
            let read = read(&database, &new_only, player).await;
            assert_eq!(read, last_two, "{}", test.engine());
        }
        let uses = rotation::status(&database, &new_only).await.unwrap();
        assert!(
            uses.iter().all(|use_| use_.key == KeyStanding::Current),
            "{uses:?}"
        );
        assert_eq!(uses[0].sealed, i64::from(PLAYERS));
        let again = rotation::rotate(&database, &new_only, |_| {})
            .await
            .unwrap();
        assert_eq!(again, Rotated::default());
    }
}

#[tokio::test]
async fn what_no_key_opens_is_told_and_left_as_it_is() {
    for test in TestDatabase::both().await {
        let database = migrated(&test).await;
        write(&database, &ring(1, &[]), 1, "of a known key").await;
        write(&database, &ring(9, &[]), 2, "of a lost key").await;
        write(&database, &ring(1, &[]), 3, "damaged").await;
        sqlx::query("UPDATE users SET session_key = $1 WHERE open_id = 'o-3'")
            .bind(vec![0_u8; 40])
            .execute(database.pool())
            .await
            .unwrap();
        let ring = ring(2, &[1]);
        let rotated = rotation::rotate(&database, &ring, |_| {}).await.unwrap();
        let expected = Rotated {
            resealed: 1,
            overtaken: 0,
            damaged: 1,
            unknown: 1,
        };
        assert_eq!(rotated, expected, "{}", test.engine());
        let uses = rotation::status(&database, &ring).await.unwrap();
        let standing: Vec<_> = uses.iter().map(|use_| (use_.key, use_.sealed)).collect();
        for expected in [
            (KeyStanding::Current, 1),
            (KeyStanding::Previous, 1),
            (KeyStanding::Unknown, 1),
        ] {
            assert!(standing.contains(&expected), "{uses:?}");
        }
        assert_eq!(read(&database, &ring, 1).await, ["of a known key"]);
    }
}
