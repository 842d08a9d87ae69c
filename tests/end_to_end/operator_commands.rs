//! Commands for operators: `doctor`, `orders`, `sessions`.

use std::process::Output;
use std::time::Duration;

use avalon_test_support::{AvalonCommand, FleetSettings, RedisServer, TestDatabase, eventually_eq};
use avalon_tests::Game;
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(40);

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn parsed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Runs a command with these arguments and the configuration of the service.
async fn run(settings: &FleetSettings, role: &str, arguments: &str) -> Output {
    let command = settings.command(role);
    let arguments = arguments.split(' ').filter(|it| !it.is_empty());
    arguments.fold(command, AvalonCommand::arg).run().await
}

/// The health of each check of that name in the doctor's output.
fn health<'a>(findings: &'a Value, name: &str) -> Vec<&'a str> {
    let checks = findings["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["name"] == name)
        .map(|check| check["health"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn doctor_passes_a_healthy_service_and_names_each_fault() {
    let database = TestDatabase::postgres().await;
    let redis = RedisServer::start().await;
    let settings = FleetSettings::new(database.url(), &redis.url()).with_payments();
    let fleet = settings.clone().start(1, 0).await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);

    let healthy = run(&settings, "doctor", "--json").await;
    let findings = parsed(&healthy);
    assert!(healthy.status.success(), "{findings:#}");
    assert_eq!(findings["ok"], true);
    for name in [
        "configuration",
        "database",
        "schema",
        "queue",
        "Redis durability",
        "clock",
        "WeChat",
        "WeChat Pay",
        "WeChat Pay's keys",
        "pay.notify_url",
    ] {
        let health = health(&findings, name);
        assert!(
            !health.is_empty() && health.iter().all(|it| *it == "ok"),
            "{name}: {findings:#}"
        );
    }
    let plain = text(&run(&settings, "doctor", "").await);
    assert!(
        plain.lines().any(|line| line.starts_with("ok    schema")),
        "{plain}"
    );
    for secret in [FleetSettings::APP_SECRET, FleetSettings::ADMIN_TOKEN] {
        assert!(!plain.contains(secret) && !findings.to_string().contains(secret));
    }

    // One fault at a time.
    let assert_fails = async |settings: FleetSettings, name: &str| {
        let output = run(&settings, "doctor", "--json").await;
        let findings = parsed(&output);
        assert_eq!(output.status.code(), Some(1), "{name}: {findings:#}");
        assert_eq!(findings["ok"], false);
        assert!(
            health(&findings, name).contains(&"fail"),
            "{name}: {findings:#}"
        );
    };
    let changed = |name: &str, value: &str| settings.clone().env(name, value);
    assert_fails(
        changed("AVALON_STORAGE__ENCRYPTION_KEY", ""),
        "configuration",
    )
    .await;
    assert_fails(
        changed("AVALON_DATABASE__URL", "postgres://127.0.0.1:1/x"),
        "database",
    )
    .await;
    assert_fails(changed("AVALON_REDIS__URL", "redis://127.0.0.1:1"), "queue").await;
    assert_fails(changed("AVALON_WECHAT__APP_SECRET", "another"), "WeChat").await;
    assert_fails(
        changed("AVALON_PAY__API_V3_KEY", "another key of thirty-two bytes!")
            .env("AVALON_PAY__PLATFORM_PUBLIC_KEY", "")
            .env("AVALON_PAY__PLATFORM_PUBLIC_KEY_ID", ""),
        "WeChat Pay",
    )
    .await;
    let private = "https://10.0.0.7/api/wx/pay/notify";
    assert_fails(changed("AVALON_PAY__NOTIFY_URL", private), "pay.notify_url").await;
    let fresh = TestDatabase::postgres().await;
    let empty = changed("AVALON_DATABASE__URL", fresh.url());
    assert_fails(
        empty.env("AVALON_DATABASE__AUTO_MIGRATE", "false"),
        "schema",
    )
    .await;
    game.set("settings", json!({"clockSkewSeconds": 400})).await;
    assert_fails(settings.clone(), "clock").await;
}

#[tokio::test]
async fn orders_and_sessions_can_be_managed_from_the_command_line() {
    let database = TestDatabase::postgres().await;
    let redis = RedisServer::start().await;
    let settings = FleetSettings::new(database.url(), &redis.url()).with_payments();
    let fleet = settings.clone().start(1, 1).await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    game.sell(&fleet.apis[0], "gems", 100).await;
    let alice = game.player("alice").await;
    let created = alice.order("gems", 2, "k").await;
    let id = created.body["orderId"].as_str().unwrap().to_owned();
    alice.pay(&created).await;
    eventually_eq(TIMEOUT, "paid".to_owned(), async || alice.status(&id).await).await;

    let listed = parsed(&run(&settings, "orders", "list --status paid --json").await);
    assert_eq!(listed[0]["_id"], json!(id));
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let open_id = listed[0]["openId"].as_str().unwrap().to_owned();
    let pending = parsed(&run(&settings, "orders", "list --status pending --json").await);
    assert_eq!(pending, json!([]));
    assert!(text(&run(&settings, "orders", "list").await).contains(&id));
    let shown = text(&run(&settings, "orders", &format!("show {id}")).await);
    assert!(
        shown.contains("callback") && shown.contains("200 fen"),
        "{shown}"
    );
    let unknown = run(&settings, "orders", "show 01JZ5N4V7W8X9YABCDEFGHJKMN").await;
    assert!(!unknown.status.success());

    // WeChat's bill of today, which the simulator provides at once.
    game.set("pay/settings", json!({"billsAtOnce": true})).await;
    let paid_at: jiff::Timestamp = listed[0]["paidAt"].as_str().unwrap().parse().unwrap();
    let day = jiff::tz::Offset::constant(8).to_datetime(paid_at).date();
    let compared = run(&settings, "orders", &format!("reconcile {day} --json")).await;
    assert!(compared.status.success(), "{compared:?}");
    assert_eq!(parsed(&compared)["rowsCompared"], 1);
    let again = run(&settings, "orders", &format!("reconcile {day} --again")).await;
    assert!(text(&again).contains("1 rows compared"), "{again:?}");

    let sessions = parsed(&run(&settings, "sessions", &format!("list {open_id} --json")).await);
    assert_eq!(sessions.as_array().unwrap().len(), 1);
    assert_eq!(sessions[0]["endedAt"], Value::Null);
    assert_eq!(alice.get("/api/wx/orders").await.status, 200);
    let ended = text(&run(&settings, "sessions", &format!("end {open_id}")).await);
    assert_eq!(ended, "1 ended\n");
    eventually_eq(TIMEOUT, 401, async || {
        alice.get("/api/wx/orders").await.status.as_u16()
    })
    .await;
    let unknown_player = run(&settings, "sessions", "list unknown").await;
    assert!(!unknown_player.status.success());
}
