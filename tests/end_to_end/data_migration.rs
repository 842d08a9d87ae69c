//! Moving from the embedded databases to Redis and Postgres with all stored data.

use std::time::Duration;

use avalon_test_support::{
    Avalon, FleetSettings, TestDatabase, eventually_eq, shared_redis_url, unique_prefix,
};
use avalon_tests::Game;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, AssertSqlSafe, Row, ValueRef};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs `migrate copy`: its stdout, or its stderr if it failed.
async fn copy(from: &str, to: &str) -> Result<String, String> {
    let command = Avalon::command("migrate").arg("copy");
    let command = command.arg("--from").arg(from).arg("--to").arg(to);
    let output = command.run().await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

#[tokio::test]
async fn service_migrates_from_sqlite_to_redis_and_postgres() {
    let settings = |database: &str| {
        FleetSettings::new(database, "")
            .with_payments()
            .env("AVALON_REDIS__KEY_PREFIX", unique_prefix())
    };
    let [sqlite, postgres] = TestDatabase::both().await;
    let small = settings(sqlite.url());
    let simulator = small.simulator().start().await;
    let mut all = small.all().start().await;
    let game = Game::of(&all, &simulator);
    let url = format!("{}/admin/products/gems-60", all.ops);
    let gems = serde_json::json!({"name": "60 gems", "price": 600});
    let put = game.client.put(url).bearer_auth(FleetSettings::ADMIN_TOKEN);
    assert_eq!(put.json(&gems).send().await.unwrap().status(), 200);
    let alice = game.player("alice").await;
    let created = alice.order("gems-60", 2, "k1").await;
    let order = created.body["orderId"].as_str().unwrap().to_owned();
    alice.pay(&created).await;
    eventually_eq(TIMEOUT, "paid".to_owned(), || alice.status(&order)).await;
    all.terminate();
    assert!(all.wait_exit().await.success());

    let copied = copy(sqlite.url(), postgres.url()).await.unwrap();
    assert!(copied.contains("1  orders"), "{copied}");

    // The same service, as separate processes, with the same simulator.
    let redis = shared_redis_url().await;
    let big = small
        .env("AVALON_DATABASE__URL", postgres.url())
        .env("AVALON_REDIS__URL", redis);
    let (api, _workers) = (
        big.command("api").start().await,
        big.command("workers").start().await,
    );
    let game = Game::of(&api, &simulator);
    // Sessions are in Redis from now on: players sign in again, which the game does silently.
    let alice = game.player("alice").await;
    assert_eq!(alice.status(&order).await, "paid");
    assert_eq!(alice.owns("gems-60").await, 2);
    let again = alice.order("gems-60", 2, "k1").await;
    again.assert_problem(409, "ORDER_STATE");
}

#[tokio::test]
async fn copy_preserves_rows_and_requires_an_empty_target() {
    let dev = Avalon::command("dev").start().await;
    let game = Game::of(&dev, &dev);
    let alice = game.player("alice").await;
    let paid = alice.order("gems-60", 1, "k1").await;
    alice.pay(&paid).await;
    eventually_eq(TIMEOUT, 1, || alice.owns("gems-60")).await;
    alice.order("golden-cup", 1, "k2").await;
    let body = serde_json::json!({"productId": "gems-60", "quantity": 1});
    alice.post("/api/wx/consume", "k3", body).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = u64::try_from(now.unwrap().as_millis()).unwrap();
    let event =
        serde_json::json!({"eventName": "won", "eventParams": {"level": 3}, "timestamp": now});
    let report = serde_json::json!({"events": [event]});
    assert_eq!(
        alice.post("/api/wx/report", "unused", report).await.status,
        200
    );
    let file = dev.folder().join("data/avalon.db");
    let from = format!("sqlite://{}", file.display());
    eventually_eq(TIMEOUT, true, async || {
        let rows = rows(&from).await;
        rows.iter().any(|row| row.starts_with("analytics_events: "))
    })
    .await;
    let mut dev = dev;
    dev.terminate();
    assert!(dev.wait_exit().await.success());

    let (postgres, back) = (TestDatabase::postgres().await, TestDatabase::sqlite());
    copy(&from, postgres.url()).await.unwrap();
    copy(postgres.url(), back.url()).await.unwrap();
    let (before, after) = (rows(&from).await, rows(back.url()).await);
    // Postgres formats JSON with spaces and its own key order.
    let parts = |rows: &[String]| -> Vec<Vec<String>> {
        let parts = |row: &String| {
            let row = row.replace([' ', '{', '}', '(', ')', '"', '\\'], "");
            let row = row.replace("AnyValuekind:Text", "");
            let mut parts: Vec<String> = row.split(',').map(str::to_owned).collect();
            parts.sort_unstable();
            parts
        };
        rows.iter().map(parts).collect()
    };
    assert_eq!(parts(&before), parts(&after));
    for full in [
        "users",
        "player_sessions",
        "orders",
        "inbox",
        "inventory_ledger",
    ] {
        let start = format!("{full}: ");
        assert!(before.iter().any(|row| row.starts_with(&start)), "{full}");
    }

    let refused = copy(&from, postgres.url()).await.unwrap_err();
    assert!(refused.contains("the target is not empty"), "{refused}");
    let nothing = copy("sqlite:///nowhere/at/all.db", postgres.url()).await;
    assert!(nothing.unwrap_err().contains("there is no database at"));
    // The copy sets no sequences, and needs none: no id comes from a sequence.
    let pool = AnyPool::connect(postgres.url()).await.unwrap();
    let sequences = sqlx::query("SELECT 1 FROM information_schema.sequences");
    assert!(sequences.fetch_all(&pool).await.unwrap().is_empty());
}

/// All rows of a SQLite database, as text.
async fn rows(url: &str) -> Vec<String> {
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(url).await.unwrap();
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' \
                  AND name NOT LIKE 'sqlite%' AND name <> '_sqlx_migrations' ORDER BY name";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&pool).await.unwrap();
    let mut all = Vec::new();
    for table in tables {
        let select = format!("SELECT * FROM \"{table}\"");
        let rows = sqlx::query(AssertSqlSafe(select)).fetch_all(&pool).await;
        let line = |row: AnyRow| {
            let values = (0..row.len()).map(|column| {
                let value = row.try_get_raw(column).unwrap();
                format!("{:?}", ValueRef::to_owned(&value))
            });
            format!("{table}: {}", values.collect::<Vec<_>>().join(", "))
        };
        all.extend(rows.unwrap().into_iter().map(line));
    }
    all.sort_unstable();
    all
}
