//! `docs/metrics.md` matches a running system: the same names, types and labels.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use avalon_test_support::{
    FleetSettings, TestDatabase, eventually_eq, shared_redis_url, unique_prefix,
};
use avalon_tests::{Game, client, send};
use serde_json::json;

const PAGE: &str = include_str!("../../docs/metrics.md");
const TIMEOUT: Duration = Duration::from_secs(40);

/// A metric: its type and labels.
#[derive(Debug, PartialEq, Eq)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
}

type Metrics = BTreeMap<String, Metric>;

/// The rows of the page: existing metrics, and the names of planned ones.
fn documented() -> (Metrics, BTreeSet<String>) {
    let (existing, planned) = PAGE.split_once("## To come").unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, kind, labels, from, meaning, _] = cells[..] else {
            panic!("not a row of five cells: {line}");
        };
        assert!(
            matches!(from, "each" | "shared") && !meaning.is_empty(),
            "{line}"
        );
        let names = |text: &str| -> BTreeSet<String> {
            let quoted = text.split('`').skip(1).step_by(2);
            quoted.map(str::to_owned).collect()
        };
        let name = names(name).pop_first().unwrap();
        let kind = kind.to_owned();
        (
            name,
            Metric {
                kind,
                labels: names(labels),
            },
        )
    };
    let rows = |text: &str| -> Vec<(String, Metric)> {
        let lines = text.lines().filter(|line| line.starts_with("| `"));
        lines.map(row).collect()
    };
    let announced = rows(planned).into_iter().map(|(name, _)| name);
    (rows(existing).into_iter().collect(), announced.collect())
}

/// The metrics of an ops listener.
async fn exposed(ops: &str) -> Metrics {
    let text = client().get(format!("{ops}/metrics")).send().await.unwrap();
    let text = text.text().await.unwrap();
    let mut metrics = Metrics::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            current = name.to_owned();
            let metric = Metric {
                kind: kind.to_owned(),
                labels: BTreeSet::new(),
            };
            assert!(
                metrics.insert(current.clone(), metric).is_none(),
                "{name} is exposed twice"
            );
        } else if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(help.ends_with('.'), "a help text is a sentence: {help}");
        } else {
            let labels = line.split_once('{').map_or("", |(_, rest)| rest);
            let names = labels.match_indices("=\"").map(|(at, _)| {
                labels[..at]
                    .rsplit([',', '{', ' '])
                    .next()
                    .unwrap_or_default()
            });
            let names = names.filter(|name| *name != "le").map(str::to_owned);
            metrics.get_mut(&current).unwrap().labels.extend(names);
        }
    }
    metrics
}

#[tokio::test]
async fn metrics_page_matches_a_running_system() {
    let database = TestDatabase::postgres().await;
    let fleet = FleetSettings::new(database.url(), &shared_redis_url().await)
        .with_payments()
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix())
        .env("AVALON_FULFIL__WEBHOOK_URL", "http://127.0.0.1:9/webhook")
        // Two sinks: the database, and an unreachable one.
        .env("AVALON_ANALYTICS__CLICKHOUSE_URL", "http://127.0.0.1:9")
        .env(
            "AVALON_FULFIL__WEBHOOK_SECRET",
            "a-shared-secret-of-the-game",
        )
        // Orders need an access token, whose age is then exposed.
        .env("AVALON_RISK__ORDERS", "observe")
        .env("AVALON_SOCIAL__INVITES", crate::dashboards::INVITES)
        .env("AVALON_FULFIL__ALLOW_PRIVATE_ADDRESSES", "true")
        .start(1, 1)
        .await;
    fleet.expect_leftover("sink-clickhouse");
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    game.sell(&fleet.apis[0], "gems", 100).await;
    // A purchase, and a call that WeChat rejects.
    let alice = game.player("alice").await;
    game.login("sim-error-40029").await;
    let created = alice.order("gems", 1, "k").await;
    alice.pay(&created).await;
    eventually_eq(TIMEOUT, 1, async || alice.owns("gems").await).await;

    let event = json!({"eventName": "level", "eventParams": {"n": 1}, "timestamp": created.body["payParams"]["timeStamp"].as_str().unwrap().parse::<i64>().unwrap() * 1000});
    let report = game
        .client
        .post(game.url("/api/wx/report"))
        .bearer_auth(&alice.token);
    let reported = send(report.json(&json!({"events": [event]}))).await;
    assert_eq!(reported.body["accepted"], 1, "{reported:?}");
    // And requests that we reject.
    let stranger = game.client.get(game.url("/api/wx/orders"));
    assert_eq!(send(stranger.bearer_auth("x")).await.status, 401);
    let admin = game.client.get(format!("{}/admin/jobs", fleet.apis[0].ops));
    assert_eq!(send(admin.bearer_auth("x")).await.status, 401);

    let (documented, announced) = documented();
    eventually_eq(TIMEOUT, Vec::<String>::new(), async || {
        let mut all = exposed(&fleet.apis[0].ops).await;
        for (name, metric) in exposed(&fleet.workers[0].ops).await {
            match all.get_mut(&name) {
                Some(known) => known.labels.extend(metric.labels),
                None => drop(all.insert(name, metric)),
            }
        }
        let mut wrong = Vec::new();
        for (name, metric) in &all {
            match documented.get(name) {
                None => wrong.push(format!("{name} is not on the page")),
                Some(row) if row != metric => {
                    wrong.push(format!("{name} is {metric:?}, not {row:?}"));
                }
                Some(_) => {}
            }
        }
        let missing = documented.keys().filter(|name| !all.contains_key(*name));
        wrong.extend(missing.map(|name| format!("{name} is on the page and not exposed")));
        let here = announced.iter().filter(|name| all.contains_key(*name));
        wrong.extend(here.map(|name| format!("{name} is no longer planned")));
        wrong
    })
    .await;
}

#[tokio::test]
async fn metrics_of_an_unreachable_store_are_omitted() {
    let database = TestDatabase::postgres().await;
    let mut redis = avalon_test_support::RedisServer::start().await;
    let fleet = FleetSettings::new(database.url(), &redis.url())
        .start(1, 0)
        .await;
    let ops = &fleet.apis[0].ops;
    let up = async || {
        let text = client().get(format!("{ops}/metrics")).send().await.unwrap();
        let text = text.text().await.unwrap();
        let has = |line: &str| text.lines().any(|it| it.starts_with(line));
        (
            has("avalon_store_up{store=\"queue\"} 1"),
            has("avalon_queue_depth{"),
            has("avalon_redis_aof_enabled{"),
            has("avalon_inbox_pending"),
        )
    };
    assert_eq!(up().await, (true, true, true, true));
    redis.stop();
    assert_eq!(up().await, (false, false, false, true));
    redis.restart().await;
    eventually_eq(TIMEOUT, (true, true, true, true), up).await;
}
