//! Backup and restore as the runbook describes them: taken while players sign in and restored into other
//! stores, from which the service continues.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use avalon_test_support::{Avalon, FleetSettings, RedisServer, TestDatabase, eventually_eq};
use avalon_tests::{Game, send};
use serde_json::json;
use tokio::process::Command;
use tokio::task::JoinHandle;

const TIMEOUT: Duration = Duration::from_secs(30);

async fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().await;
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}: run scripts/test"));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Creates a product.
async fn create_product(game: &Game, ops: &str) {
    let put = game.client.put(format!("{ops}/admin/products/gems-60"));
    let put = put.bearer_auth(FleetSettings::ADMIN_TOKEN);
    let gems = json!({"name": "60 gems", "price": 600});
    assert_eq!(send(put.json(&gems)).await.status, 200);
}

/// Signs players in one after the other until the flag is set.
fn load(api: &Avalon, simulator: &Avalon) -> (Arc<AtomicBool>, JoinHandle<()>) {
    let (game, stop) = (Game::of(api, simulator), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let players = tokio::spawn(async move {
        let mut number = 0;
        while !stopped.load(Ordering::Relaxed) {
            number += 1;
            assert_eq!(game.login(&format!("sim-player{number}")).await.status, 200);
        }
    });
    (stop, players)
}

#[tokio::test]
async fn postgres_and_redis_restore_from_backups_taken_under_load() {
    let (database, restored) = (
        TestDatabase::postgres().await,
        TestDatabase::postgres().await,
    );
    let (redis, mut other_redis) = (RedisServer::start().await, RedisServer::reserve());
    let settings = FleetSettings::new(database.url(), &redis.url())
        .with_payments()
        // Jobs that run during the backup are done again by the restored service.
        .env("AVALON_QUEUE__LEASE_TIMEOUT", "2s");
    let mut fleet = settings.clone().start(1, 1).await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    create_product(&game, &fleet.apis[0].ops).await;
    let alice = game.player("alice").await;
    let created = alice.order("gems-60", 2, "k1").await;
    let order = created.body["orderId"].as_str().unwrap().to_owned();
    alice.pay(&created).await;
    eventually_eq(TIMEOUT, 2, || alice.owns("gems-60")).await;
    let token = alice.token.clone();
    // This job waits for its second attempt while the backup is taken.
    game.faults(json!({"outage": "http502", "api": "code2session"}))
        .await;
    let waiting = game.login_preferring("sim-bob", "respond-async").await;
    let waiting = waiting.header("location").to_owned();
    game.clear_faults().await;
    let (stop, players) = load(&fleet.apis[0], &fleet.simulator);

    let folder = backup_folder();
    let dump = folder.join("avalon.dump");
    let dump = dump.to_str().unwrap();
    run(
        "pg_dump",
        &["--format=custom", "--file", dump, database.url()],
    )
    .await;
    let port = redis.port().to_string();
    let cli = |arguments: &'static str| {
        let mut all = vec!["-p", &port];
        all.extend(arguments.split(' '));
        let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        async move {
            run(
                "redis-cli",
                &all.iter().map(String::as_str).collect::<Vec<_>>(),
            )
            .await
        }
    };
    cli("CONFIG SET auto-aof-rewrite-percentage 0").await;
    eventually_eq(TIMEOUT, true, async || {
        let info = cli("INFO persistence").await;
        info.contains("aof_rewrite_in_progress:0")
    })
    .await;
    let from = redis.folder().join("appendonlydir");
    run(
        "cp",
        &[
            "-a",
            from.to_str().unwrap(),
            other_redis.folder().to_str().unwrap(),
        ],
    )
    .await;
    stop.store(true, Ordering::Relaxed);
    players.await.unwrap();
    fleet.apis[0].kill9();
    fleet.workers[0].kill9();

    run(
        "pg_restore",
        &["--exit-on-error", "--dbname", restored.url(), dump],
    )
    .await;
    other_redis.launch().await;
    let settings = settings
        .env("AVALON_DATABASE__URL", restored.url())
        .env("AVALON_REDIS__URL", other_redis.url());
    let api = settings.command("api").start().await;
    let _workers = settings.command("workers").start().await;
    let game = Game::of(&api, &fleet.simulator);
    let mut alice = game.player("alice-on-another-device").await;
    alice.token = token;
    assert_eq!(alice.status(&order).await, "paid");
    assert_eq!(alice.owns("gems-60").await, 2);
    assert_eq!(game.job(&waiting).await["status"], "succeeded");
    assert_eq!(alice.order("gems-60", 1, "k2").await.status, 200);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn sqlite_restores_from_backups_taken_under_load() {
    let database = TestDatabase::sqlite();
    let settings = FleetSettings::new(database.url(), "")
        .with_payments()
        .env("AVALON_QUEUE__LEASE_TIMEOUT", "2s");
    let simulator = settings.simulator().start().await;
    let mut all = settings.all().start().await;
    settings.allow_dead("login");
    let game = Game::of(&all, &simulator);
    create_product(&game, &all.ops).await;
    let alice = game.player("alice").await;
    let created = alice.order("gems-60", 2, "k1").await;
    alice.pay(&created).await;
    eventually_eq(TIMEOUT, 2, || alice.owns("gems-60")).await;
    let token = alice.token.clone();
    game.login("sim-error-40125").await;
    let (stop, players) = load(&all, &simulator);

    let folder = backup_folder();
    let file = database.url().trim_start_matches("sqlite://").to_owned();
    let queue = file.replace("avalon.db", "avalon-queue.db");
    for (from, to) in [(&file, "avalon.db"), (&queue, "avalon-queue.db")] {
        let backup = format!(".backup '{}'", folder.join(to).display());
        run("sqlite3", &[from, &backup]).await;
    }
    stop.store(true, Ordering::Relaxed);
    players.await.unwrap();
    all.kill9();

    let url = format!("sqlite://{}", folder.join("avalon.db").display());
    let settings = settings.env("AVALON_DATABASE__URL", url);
    let all = settings.all().start().await;
    let game = Game::of(&all, &simulator);
    let mut alice = game.player("alice-on-another-device").await;
    alice.token = token;
    assert_eq!(alice.owns("gems-60").await, 2);
    let dead = game
        .client
        .get(format!("{}/admin/jobs?status=dead", all.ops));
    let dead = send(dead.bearer_auth(FleetSettings::ADMIN_TOKEN)).await;
    assert_eq!(
        dead.body["jobs"][0]["error"]["code"],
        "WECHAT_MISCONFIGURED"
    );
    assert_eq!(alice.order("gems-60", 1, "k2").await.status, 200);
    drop(all);
    std::fs::remove_dir_all(folder).unwrap();
}

/// Creates a folder for backups.
fn backup_folder() -> std::path::PathBuf {
    let name = format!("avalon-backup-{}", avalon_test_support::unique_prefix());
    let folder = Path::new(&std::env::temp_dir()).join(name.replace(':', "-"));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
