//! Rotating the encryption key of a running service, as `docs/security.md` describes.

use avalon_test_support::{
    Avalon, AvalonCommand, FleetSettings, TestDatabase, shared_redis_url, unique_prefix,
};
use serde_json::Value;

async fn generate(purpose: &str) -> String {
    let output = Avalon::command("keys")
        .arg("generate")
        .arg(purpose)
        .run()
        .await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

async fn json(command: AvalonCommand) -> (bool, Value) {
    let output = command.arg("--json").run().await;
    let parsed = serde_json::from_slice(&output.stdout);
    (
        output.status.success(),
        parsed.unwrap_or_else(|_| panic!("{output:?}")),
    )
}

/// Number of values encrypted with the keys in this role: `current`, `previous` or `unknown`.
fn sealed(status: &Value, key: &str) -> i64 {
    let uses = status["sealed"].as_array().unwrap();
    let those = uses.iter().filter(|use_| use_["key"] == key);
    those.map(|use_| use_["sealed"].as_i64().unwrap()).sum()
}

#[tokio::test]
async fn encryption_key_rotation_is_invisible_to_players() {
    for database in TestDatabase::both().await {
        let (old, new) = (generate("encryption").await, generate("encryption").await);
        let (redis, prefix) = (shared_redis_url().await, unique_prefix());
        let settings = |current: &str, previous: &str| {
            FleetSettings::new(database.url(), &redis)
                .env("AVALON_REDIS__KEY_PREFIX", &prefix)
                .env("AVALON_STORAGE__ENCRYPTION_KEY", current)
                .env("AVALON_STORAGE__PREVIOUS_ENCRYPTION_KEYS", previous)
        };
        let before = settings(&old, "").start(1, 1).await;
        for player in ["alice", "bob", "carol"] {
            let response = before.login(&format!("sim-{player}")).await.unwrap();
            assert_eq!(response.status(), 200);
        }
        before.stop().await;

        let both = settings(&new, &old);
        let keys = |command: &str| both.command("keys").arg(command);
        let (_, status) = json(keys("status")).await;
        assert_eq!(
            (sealed(&status, "previous"), sealed(&status, "current")),
            (3, 0)
        );
        let running = both.clone().start(1, 1).await;
        assert_eq!(running.login("sim-dave").await.unwrap().status(), 200);
        let (complete, rotated) = json(keys("rotate")).await;
        assert!(complete);
        assert_eq!(rotated["rotated"]["resealed"], 3, "{}", database.engine());
        let (_, status) = json(keys("status")).await;
        assert_eq!(
            (sealed(&status, "previous"), sealed(&status, "current")),
            (0, 4)
        );
        running.stop().await;

        let only_new = settings(&new, "");
        let (_, status) = json(only_new.command("keys").arg("status")).await;
        assert_eq!(sealed(&status, "unknown"), 0);
        let lost = settings(&old, "");
        let (complete, rotated) = json(lost.command("keys").arg("rotate")).await;
        assert!(!complete, "values that cannot be decrypted are a failure");
        assert_eq!(rotated["rotated"]["unknown"], 4);
    }
}

#[tokio::test]
async fn generated_keys_pass_the_configuration_check() {
    let check = Avalon::command("config")
        .arg("check")
        .arg("--role")
        .arg("dev")
        .env(
            "AVALON_STORAGE__ENCRYPTION_KEY",
            generate("encryption").await,
        )
        .env("AVALON_AUTH__SIGNING_KEY", generate("signing").await)
        .run()
        .await;
    assert!(check.status.success(), "{check:?}");
    assert_ne!(generate("encryption").await, generate("encryption").await);
}
