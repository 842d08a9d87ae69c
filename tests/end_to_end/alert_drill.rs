//! Drives the alert rules into firing and back by real faults, with a real Prometheus between. The times of
//! the rules are a sixtieth of what they are, so that the drill takes minutes and not hours. Run by
//! `scripts/alert-drill`; the rules that need other weather than can be made here have unit tests.

use std::collections::BTreeSet;
use std::time::Duration;

use avalon_test_support::{
    Fleet, FleetSettings, PostgresServer, PrometheusServer, RedisServer, TestDatabase,
    eventually_eq,
};
use avalon_tests::{Answer, Game, Player, send};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::dashboards::files;

const LIMIT: Duration = Duration::from_secs(120);

/// The rules with every range and `for` a sixtieth as long, within what a drill has patience for and what
/// holds some scrapes still.
fn hurried(rules: &str) -> String {
    let mut text = String::new();
    for line in rules.lines() {
        let is_for = line.trim_start().starts_with("for: ");
        let mut rest = line;
        // `[5m]` and `for: 5m`; numbers elsewhere are thresholds or names.
        while let Some(at) = rest.find(if is_for { "for: " } else { "[" }) {
            let start = at + if is_for { "for: ".len() } else { 1 };
            text.push_str(&rest[..start]);
            rest = &rest[start..];
            let end = rest.find(']').unwrap_or(rest.len());
            let seconds = seconds(&rest[..end]) / 60;
            let seconds = if is_for {
                seconds.clamp(1, 5)
            } else {
                seconds.clamp(5, 20)
            };
            text.push_str(&format!("{seconds}s"));
            rest = &rest[end..];
        }
        text.push_str(rest);
        text.push('\n');
    }
    text
}

fn seconds(duration: &str) -> u64 {
    let (number, unit) = duration.split_at(duration.len() - 1);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => panic!("{duration:?} is no duration"),
    };
    number.parse::<u64>().unwrap() * unit
}

/// The system, its Prometheus, and what was driven so far.
struct Drill {
    fleet: Fleet,
    game: Game,
    prometheus: PrometheusServer,
    orders: u32,
    driven: BTreeSet<String>,
}

impl Drill {
    async fn firing(&self) -> BTreeSet<String> {
        let text = self.prometheus.get("alerts", &[]).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        let alerts = answer["data"]["alerts"].as_array().unwrap();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing
            .map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits until all of these fire.
    async fn fire(&mut self, fault: &str, alerts: &[&str]) {
        self.wait(fault, alerts, true).await;
    }

    /// Waits until none of these fires any more.
    async fn end(&mut self, fault: &str, alerts: &[&str]) {
        self.wait(fault, alerts, false).await;
        self.driven
            .extend(alerts.iter().map(|alert| (*alert).to_owned()));
    }

    async fn wait(&self, fault: &str, alerts: &[&str], wanted: bool) {
        let start = Instant::now();
        for alert in alerts {
            loop {
                let firing = self.firing().await;
                if firing.contains(*alert) == wanted {
                    break;
                }
                assert!(
                    start.elapsed() < LIMIT,
                    "{fault}: {alert} {wanted}; now {firing:?}"
                );
                sleep(Duration::from_millis(250)).await;
            }
            let state = if wanted { "fires" } else { "ends" };
            println!(
                "{:>6.1} s  {alert} {state}: {fault}",
                start.elapsed().as_secs_f64()
            );
        }
    }

    /// Sends a sign-in without waiting for it.
    async fn sign_in(&self, code: &str) {
        self.game.login_preferring(code, "respond-async").await;
    }

    async fn order(&mut self) -> Answer {
        self.orders += 1;
        let alice = self.game.player("alice").await;
        alice
            .order("gems-60", 1, &format!("k{}", self.orders))
            .await
    }

    /// Pays at WeChat, for which our side need not be well.
    async fn pay(&self, created: &Answer) {
        let (game, token) = (&self.game, String::new());
        Player { game, token }.pay(created).await;
    }

    async fn order_and_pay(&mut self) -> String {
        let created = self.order().await;
        self.pay(&created).await;
        created.body["orderId"].as_str().unwrap().to_owned()
    }

    async fn redis_set(&self, redis: &RedisServer, setting: &str, value: &str) {
        let arguments = [
            "-p",
            &redis.port().to_string(),
            "CONFIG",
            "SET",
            setting,
            value,
        ]
        .map(str::to_owned);
        let set = tokio::process::Command::new("redis-cli")
            .args(arguments)
            .output()
            .await;
        assert_eq!(
            String::from_utf8(set.unwrap().stdout).unwrap().trim(),
            "OK",
            "{setting}"
        );
    }
}

#[tokio::test]
#[ignore = "takes minutes: scripts/alert-drill runs it"]
async fn alerts_fire_under_real_faults_and_end_after_them() {
    let mut postgres = PostgresServer::start().await;
    let database = TestDatabase::on_postgres(&postgres.url()).await;
    let mut redis = RedisServer::start().await;
    let fleet = FleetSettings::new(database.url(), &redis.url())
        .with_payments()
        .env("AVALON_QUEUE__LEASE_TIMEOUT", "2s")
        .env("AVALON_QUEUE__MAX_LOST_LEASES", "2")
        .env("AVALON_PAY__RECONCILE_AFTER", "1s")
        .env("AVALON_WECHAT__REQUEST_TIMEOUT", "12s")
        .start(2, 1)
        .await;
    let rules: Vec<(String, String)> = files("grafana/prometheus/rules")
        .into_iter()
        .map(|(name, text)| (name, hurried(&text)))
        .collect();
    let targets = [
        ("avalon-api", fleet.apis[0].ops.as_str()),
        ("avalon-api", fleet.apis[1].ops.as_str()),
        ("avalon-workers", fleet.workers[0].ops.as_str()),
    ];
    let prometheus = PrometheusServer::start("500ms", &targets, &rules).await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    let product = format!("{}/admin/products/gems-60", fleet.apis[0].ops);
    let gems = json!({"name": "60 gems", "price": 600});
    let put = game
        .client
        .put(product)
        .bearer_auth(FleetSettings::ADMIN_TOKEN);
    assert_eq!(send(put.json(&gems)).await.status, 200);
    let mut drill = Drill {
        fleet,
        game,
        prometheus,
        orders: 0,
        driven: BTreeSet::new(),
    };
    let paid = drill.order_and_pay().await;
    // Prometheus looks for its targets for some seconds; after that, nothing fires in good weather.
    eventually_eq(LIMIT, BTreeSet::new(), || drill.firing()).await;

    processes(&mut drill).await;
    lost_workers(&mut drill).await;
    wechat(&mut drill).await;
    callbacks(&mut drill, &paid).await;
    stores(&mut drill, &mut postgres, &mut redis).await;

    println!("driven by real faults: {}", drill.driven.len());
    for (_, text) in files("grafana/prometheus/rules") {
        for rule in text.split("- alert: ").skip(1) {
            let name = rule.lines().next().unwrap();
            if !drill.driven.contains(name) {
                println!("by unit tests alone: {name}");
            }
        }
    }
}

/// Workers gone, an API gone.
async fn processes(drill: &mut Drill) {
    let fault = "all workers are stopped while sign-ins arrive";
    drill.fleet.workers[0].terminate();
    drill.fleet.workers[0].wait_exit().await;
    for number in 0..5 {
        drill.sign_in(&format!("sim-waiting{number}")).await;
    }
    let alerts = [
        "ServiceDown",
        "InstanceDown",
        "JobsWaitTooLong",
        "QueueStalled",
    ];
    drill.fire(fault, &alerts).await;
    drill.fleet.workers[0].restart().await;
    drill.end(fault, &alerts).await;

    let fault = "a process of the API restarts again and again";
    for _ in 0..4 {
        drill.fleet.apis[1].restart().await;
        sleep(Duration::from_secs(2)).await;
    }
    drill.fire(fault, &["ProcessesRestart"]).await;
    drill.end(fault, &["ProcessesRestart"]).await;
}

/// Workers that are killed in the middle of their jobs.
async fn lost_workers(drill: &mut Drill) {
    let fault = "workers are killed with a dozen jobs in hand, again and again";
    for number in 0..12 {
        drill
            .sign_in(&format!("sim-slow-9000-victim{number}"))
            .await;
    }
    for _ in 0..2 {
        // They are in hand by now, also those whose leases have expired; none has ended.
        sleep(Duration::from_secs(5)).await;
        drill.fleet.workers[0].kill9();
        drill.fleet.workers[0].restart().await;
    }
    let alerts = ["WorkersLoseJobs", "JobsPoisoned", "DeadLettersGrow"];
    drill.fire(fault, &alerts).await;
    drill.end(fault, &alerts).await;
}

/// WeChat in all its moods.
async fn wechat(drill: &mut Drill) {
    let fault = "WeChat answers that the app secret is wrong";
    drill.sign_in("sim-error-40125").await;
    drill.fire(fault, &["WechatMisconfigured"]).await;
    drill.end(fault, &["WechatMisconfigured"]).await;

    let fault = "WeChat refuses the access token, as the simulator does for sign-ins too";
    for _ in 0..5 {
        drill.sign_in("sim-error-40001").await;
        sleep(Duration::from_millis(700)).await;
    }
    drill.fire(fault, &["WechatTokenRefused"]).await;
    drill.end(fault, &["WechatTokenRefused"]).await;

    let fault = "the quota of the minute is used up";
    drill
        .game
        .set("settings", json!({"quotaPerMinute": 1}))
        .await;
    for number in 0..8 {
        drill.sign_in(&format!("sim-many{number}")).await;
        sleep(Duration::from_millis(300)).await;
    }
    drill.fire(fault, &["WechatRateLimited"]).await;
    drill
        .game
        .set("settings", json!({"quotaPerMinute": null}))
        .await;
    drill.end(fault, &["WechatRateLimited"]).await;

    let fault = "every call of WeChat Pay is answered with HTTP 502";
    drill
        .game
        .faults(json!({"outage": "http502", "api": "pay"}))
        .await;
    for _ in 0..3 {
        drill.order().await;
    }
    let alerts = [
        "WechatFails",
        "PurchasesFail",
        "PurchasesFailSlowly",
        "RequestsFail",
    ];
    drill.fire(fault, &alerts).await;
    drill.game.good_weather().await;
    for _ in 0..10 {
        drill.order_and_pay().await;
        sleep(Duration::from_secs(1)).await;
    }
    drill.end(fault, &alerts).await;

    let fault = "somebody answers in WeChat Pay's place";
    drill
        .game
        .set("pay/settings", json!({"signTestResponses": 8}))
        .await;
    for _ in 0..4 {
        drill.order().await;
    }
    drill.fire(fault, &["WechatAnswersUnverified"]).await;
    drill
        .game
        .set("pay/settings", json!({"signTestResponses": 0}))
        .await;
    drill.end(fault, &["WechatAnswersUnverified"]).await;
}

/// Callbacks that don't come, or are not what they seem.
async fn callbacks(drill: &mut Drill, paid: &str) {
    let fault = "WeChat's callbacks do not arrive";
    sleep(Duration::from_secs(20)).await; // those of before have left the window
    drill
        .game
        .set("pay/callbacks", json!({"mode": "drop"}))
        .await;
    for _ in 0..5 {
        drill.order_and_pay().await;
        sleep(Duration::from_millis(700)).await;
    }
    drill.fire(fault, &["OrdersWithoutCallbacks"]).await;
    drill
        .game
        .set("pay/callbacks", json!({"mode": "normal"}))
        .await;
    drill.order_and_pay().await;
    drill.end(fault, &["OrdersWithoutCallbacks"]).await;

    let fault = "somebody forges callbacks";
    for _ in 0..15 {
        let forged = json!({"outTradeNo": paid, "kind": "signature"});
        drill.game.simulator("pay/callbacks/forge", forged).await;
        sleep(Duration::from_millis(200)).await;
    }
    drill.fire(fault, &["CallbacksWithBadSignatures"]).await;
    drill.end(fault, &["CallbacksWithBadSignatures"]).await;

    let fault = "a callback tells of another amount";
    let forged = json!({"outTradeNo": paid, "kind": "amount"});
    drill.game.simulator("pay/callbacks/forge", forged).await;
    drill.fire(fault, &["CallbacksContradictOrders"]).await;
    drill.end(fault, &["CallbacksContradictOrders"]).await;

    let fault = "the merchant's account refuses a refund";
    drill
        .game
        .set(
            "pay/settings",
            json!({"refundOutcome": "abnormal", "refundDelayMs": 0}),
        )
        .await;
    let refund = format!("{}/admin/orders/{paid}/refund", drill.fleet.apis[0].ops);
    let request = drill
        .game
        .client
        .post(refund)
        .bearer_auth(FleetSettings::ADMIN_TOKEN);
    let request = request
        .header("idempotency-key", "drill")
        .json(&json!({"reason": "a drill"}));
    assert_eq!(send(request).await.status, 202);
    drill.fire(fault, &["RefundsStuck"]).await;
    let refunds = drill.game.ask_simulator("pay/refunds").await;
    let number = refunds["refunds"][0]["outRefundNo"]
        .as_str()
        .unwrap()
        .to_owned();
    let finish = format!("pay/refunds/{number}/finish");
    drill
        .game
        .simulator(&finish, json!({"status": "SUCCESS"}))
        .await;
    drill.end(fault, &["RefundsStuck"]).await;
}

/// Postgres and Redis in trouble.
async fn stores(drill: &mut Drill, postgres: &mut PostgresServer, redis: &mut RedisServer) {
    let fault = "Redis would evict";
    drill
        .redis_set(redis, "maxmemory-policy", "allkeys-lru")
        .await;
    drill.fire(fault, &["RedisEvicts"]).await;
    drill
        .redis_set(redis, "maxmemory-policy", "noeviction")
        .await;
    drill.end(fault, &["RedisEvicts"]).await;

    let fault = "Redis writes no append-only file";
    drill.redis_set(redis, "appendonly", "no").await;
    drill.fire(fault, &["RedisNotDurable"]).await;
    drill.redis_set(redis, "appendonly", "yes").await;
    drill.end(fault, &["RedisNotDurable"]).await;

    let fault = "Redis is nearly full";
    drill.redis_set(redis, "maxmemory", "1500kb").await;
    drill.fire(fault, &["RedisMemoryShort"]).await;
    drill.redis_set(redis, "maxmemory", "0").await;
    drill.end(fault, &["RedisMemoryShort"]).await;

    let fault = "Redis is away";
    redis.stop();
    drill.fire(fault, &["StoreDown"]).await;
    redis.launch().await;
    drill.end(fault, &["StoreDown"]).await;

    let fault = "Postgres is away while callbacks come";
    let (created, later) = (drill.order().await, drill.order().await);
    postgres.stop();
    drill.pay(&created).await;
    drill
        .fire(fault, &["StoreDown", "CallbacksNotStored"])
        .await;
    postgres.launch().await;
    drill.end(fault, &["StoreDown", "CallbacksNotStored"]).await;

    let fault = "nobody processes callbacks";
    drill.fleet.workers[0].terminate();
    drill.fleet.workers[0].wait_exit().await;
    drill.pay(&later).await;
    drill.fire(fault, &["InboxWaits"]).await;
    drill.fleet.workers[0].restart().await;
    drill.end(fault, &["InboxWaits"]).await;
}
