//! Dashboards and alert rules against a living system, with Prometheus between them: no query asks for
//! what is not there, no panel is empty by a typo, and in good weather nothing fires.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use avalon_core::analytics::Day;
use avalon_core::config::DatabaseConfig;
use avalon_core::database::Database;
use avalon_test_support::{
    Fleet, FleetSettings, PrometheusServer, TestDatabase, eventually_eq, shared_redis_url,
    unique_prefix,
};
use avalon_tests::promql::{Selector, filled_in, queries, selectors, sql_queries};
use avalon_tests::{Game, send};
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::Connection;

const LONG: Duration = Duration::from_secs(30);
/// Is told once a call has needed an access token, and none does here.
const ONLY_WITH_A_TOKEN: &str = "avalon_wechat_token_age_seconds";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Name and text of each file in a folder of the repository.
pub(crate) fn files(folder: &str) -> Vec<(String, String)> {
    let folder = fs::read_dir(repository().join(folder)).unwrap();
    let mut files: Vec<(String, String)> = folder
        .map(|file| file.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort_unstable();
    files
}

async fn ask(prometheus: &PrometheusServer, path: &str, parameters: &[(&str, &str)]) -> Value {
    let text = prometheus.get(path, parameters).await;
    serde_json::from_str::<Value>(&text).unwrap()["data"].take()
}

/// Takes every webhook.
async fn game_server() -> String {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/webhooks", socket.local_addr().unwrap());
    let router = axum::Router::new().fallback(async || axum::http::StatusCode::NO_CONTENT);
    tokio::spawn(async move { axum::serve(socket, router).await.unwrap() });
    url
}

/// What a fleet does on a good day, twice, so that every counter has risen while it was looked at.
async fn a_day(fleet: &Fleet, game: &Game, day: u32) {
    let product = format!("{}/admin/products/gems-60", fleet.apis[0].ops);
    let admin = |request: reqwest::RequestBuilder| {
        let request = request.bearer_auth(FleetSettings::ADMIN_TOKEN);
        send(request.header("idempotency-key", format!("operator-{day}")))
    };
    let gems = json!({"name": "60 gems", "price": 600});
    assert_eq!(
        admin(game.client.put(product).json(&gems)).await.status,
        200
    );
    let alice = game.player("alice").await;
    let key = |name: &str| format!("{name}-{day}");
    for name in ["kept", "paid-back"] {
        let created = alice.order("gems-60", 1, &key(name)).await;
        let order = created.body["orderId"].as_str().unwrap().to_owned();
        alice.pay(&created).await;
        eventually_eq(LONG, "paid".to_owned(), || alice.status(&order)).await;
        if name == "paid-back" {
            let refund = format!("{}/admin/orders/{order}/refund", fleet.apis[0].ops);
            let asked = admin(game.client.post(refund).json(&json!({"reason": "a test"}))).await;
            assert_eq!(asked.status, 202, "{asked:?}");
            eventually_eq(LONG, "refunded".to_owned(), || alice.status(&order)).await;
        }
    }
    alice.order("gems-60", 1, &key("unpaid")).await;
    game.login("sim-error-40029").await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = u64::try_from(now.unwrap().as_millis()).unwrap();
    let events = json!({"events": [
        {"eventName": "level_end", "timestamp": now},
        {"eventName": "no name", "timestamp": now},
    ]});
    let reported = alice.post("/api/wx/report", "unused", events).await;
    assert_eq!(reported.body["accepted"], 1, "{reported:?}");
}

/// The words that `docs/metrics.md` has for a metric: values of labels that need not have happened yet.
fn documented(metric: &str) -> BTreeSet<String> {
    let page = fs::read_to_string(repository().join("docs/metrics.md")).unwrap();
    let row = format!("| `{metric}` ");
    let row = page.lines().find(|line| line.starts_with(&row));
    let words = row
        .unwrap_or_default()
        .split('`')
        .flat_map(str::split_whitespace);
    words.map(str::to_owned).collect()
}

/// What is wrong with a query; nothing when all that it asks for is there.
async fn missing(
    prometheus: &PrometheusServer,
    Selector { name, matchers }: Selector,
) -> Vec<String> {
    let series = [("match[]", name.as_str())];
    let labels = ask(prometheus, "labels", &series).await;
    if labels.as_array().is_none_or(Vec::is_empty) {
        return match name == ONLY_WITH_A_TOKEN && !documented(&name).is_empty() {
            true => vec![],
            false => vec![format!("there is no {name}")],
        };
    }
    let mut missing = Vec::new();
    for (label, operator, value) in matchers {
        let known = ask(prometheus, &format!("label/{label}/values"), &series).await;
        let known: BTreeSet<&str> = (known.as_array().unwrap().iter())
            .filter_map(Value::as_str)
            .collect();
        let documented = documented(&name);
        let is_pattern = operator.contains('~');
        for word in value.split('|') {
            // A pattern proper, such as 5.., is not looked at.
            let plain = !is_pattern
                || word
                    .chars()
                    .all(|c| c.is_alphanumeric() || "_-".contains(c));
            let is_known = known.contains(word) || documented.contains(word);
            if known.is_empty() || plain && !is_known {
                missing.push(format!("{name} has no {label}=\"{word}\""));
            }
        }
    }
    missing
}

#[tokio::test]
async fn every_query_finds_what_it_asks_for_and_in_good_weather_nothing_fires() {
    let database = TestDatabase::postgres().await;
    let fleet = FleetSettings::new(database.url(), &shared_redis_url().await)
        .with_payments()
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix())
        .env("AVALON_FULFIL__WEBHOOK_URL", game_server().await)
        .env("AVALON_FULFIL__WEBHOOK_SECRET", "of the test")
        .env("AVALON_FULFIL__ALLOW_PRIVATE_ADDRESSES", "true")
        .start(1, 1)
        .await;
    let rules = files("grafana/prometheus/rules");
    let targets = [
        ("avalon-api", fleet.apis[0].ops.as_str()),
        ("avalon-workers", fleet.workers[0].ops.as_str()),
    ];
    let prometheus = PrometheusServer::start("1s", &targets, &rules).await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    // It looks for its targets for some seconds.
    eventually_eq(LONG, json!("2"), async || {
        let up = ask(&prometheus, "query", &[("query", "sum(up)")]).await;
        up["result"][0]["value"][1].clone()
    })
    .await;
    a_day(&fleet, &game, 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    a_day(&fleet, &game, 2).await;
    tokio::time::sleep(Duration::from_secs(3)).await;

    let mut problems = Vec::new();
    let groups = ask(&prometheus, "rules", &[]).await;
    let groups = groups["groups"].as_array().unwrap();
    let all_rules: Vec<&Value> = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    for rule in &all_rules {
        let name = rule["name"].as_str().unwrap();
        assert_eq!(rule["health"], "ok", "{rule}");
        for selector in selectors(rule["query"].as_str().unwrap()) {
            let missing = missing(&prometheus, selector).await;
            problems.extend(
                missing
                    .into_iter()
                    .map(|what| format!("rule {name}: {what}")),
            );
        }
        if rule["state"] == "firing" {
            problems.push(format!("{name} fires in good weather: {rule}"));
        }
    }
    assert!(all_rules.len() > 20, "only {} rules", all_rules.len());

    for (board, text) in files("grafana/dashboards") {
        let board_json: Value = serde_json::from_str(&text).unwrap();
        for (panel, query, legend) in queries(&board_json) {
            let query = filled_in(&query);
            let of = |what: String| format!("{board}, {panel}: {what}");
            for selector in selectors(&query) {
                problems.extend(missing(&prometheus, selector).await.into_iter().map(of));
            }
            let answer = ask(&prometheus, "query", &[("query", &query)]).await;
            let result = answer["result"].as_array().unwrap();
            // What may have nothing to show says so.
            let may_be_empty = ["> 0", "ALERTS", ONLY_WITH_A_TOKEN]
                .iter()
                .any(|word| query.contains(word));
            if result.is_empty() && !may_be_empty {
                problems.push(of(format!("nothing to show for {query}")));
            }
            for label in legend
                .split("{{")
                .skip(1)
                .filter_map(|rest| rest.split_once("}}"))
            {
                let shown = result
                    .iter()
                    .all(|one| one["metric"].get(label.0).is_some());
                if !shown {
                    problems.push(of(format!("no label {} for the legend", label.0)));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// A player who signed in and bought six days ago, came back the next day, and WeChat's figures of that time.
async fn a_week_of_events(database: &mut sqlx::PgConnection, today: i64) {
    let statements = format!(
        "DO $$ BEGIN
             FOR ago IN 0..6 LOOP
                 EXECUTE format('CREATE TABLE IF NOT EXISTS day_%s PARTITION OF analytics_events
                                 FOR VALUES FROM (%s) TO (%s)', ago, {today} - ago, {today} - ago + 1);
             END LOOP;
         END $$;
         INSERT INTO analytics_events (day, at, received_at, event_id, user_id, event_name, params, source, known)
         SELECT {today} - ago, ({today} - ago) * 86400000::bigint + step * 1000, 0, ago || '-' || step, 'ann',
                (ARRAY['signed_in', 'order_paid', 'order_refunded'])[step], '{{}}', 'service', 1
         FROM generate_series(0, 6) ago, generate_series(1, 3) step;
         INSERT INTO analytics_user_days (user_id, day) VALUES ('ann', {today} - 6), ('ann', {today} - 5);
         INSERT INTO platform_stats (day, dataset, figures, fetched_at, changed_at) VALUES
             ((date '1970-01-01' + {today}::int - 6)::text, 'visits', '{{\"visit_uv\":7,\"visit_uv_new\":5}}', 0, 0),
             ((date '1970-01-01' + {today}::int - 6)::text, 'retain',
              '{{\"visit_uv_new\":[{{\"key\":0,\"value\":5}},{{\"key\":1,\"value\":2}}],\"visit_uv\":[]}}', 0, 0)"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
        .execute(database)
        .await
        .unwrap();
}

#[tokio::test]
async fn every_question_to_the_database_is_answered() {
    let home = TestDatabase::postgres().await;
    let config = DatabaseConfig {
        url: home.url().parse().unwrap(),
        ..DatabaseConfig::default()
    };
    Database::new(&config).unwrap().migrate().await.unwrap();
    let mut database = sqlx::PgConnection::connect(home.url()).await.unwrap();
    let now = Timestamp::now();
    a_week_of_events(&mut database, Day::of(now).number()).await;
    let mut asked = 0;
    for (board, text) in files("grafana/dashboards") {
        let board_json: Value = serde_json::from_str(&text).unwrap();
        for (panel, query) in sql_queries(&board_json, now.as_second()) {
            let counted = format!(
                "SELECT count(*), coalesce(string_agg(row_to_json(q)::text, ' '), '') FROM ({query}) q"
            );
            let answer = sqlx::query_as::<_, (i64, String)>(sqlx::AssertSqlSafe(counted));
            let (rows, seen) = answer
                .fetch_one(&mut database)
                .await
                .unwrap_or_else(|error| panic!("{board}, {panel}: {error}: {query}"));
            assert!(rows > 0, "{board}, {panel}: nothing to show for {query}");
            let expected = match panel.as_str() {
                "Players of a day: ours and WeChat's" => {
                    r#""ours":1,"WeChat":7,"ours, new":1,"WeChat, new":5"#
                }
                "Retention: ours and WeChat's" => {
                    r#""players":1,"day 1":1,"day 1, WeChat":0.4,"day 3":0,"#
                }
                "Funnel" => r#""step":"3 order_refunded","players":1"#,
                _ => "",
            };
            assert!(seen.contains(expected), "{board}, {panel}: {seen}");
            asked += 1;
        }
    }
    assert!(asked >= 8, "only {asked} questions");
}

#[test]
fn every_alert_has_a_section_in_the_runbook_and_unit_tests_both_ways() {
    let runbook = fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    let anchors: BTreeSet<String> = (runbook.lines())
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .replace(' ', "-")
        })
        .collect();
    let tests: String = (files("grafana/prometheus/tests").into_iter())
        .map(|(_, text)| text)
        .collect();
    let mut alerts = 0;
    for (file, text) in files("grafana/prometheus/rules") {
        for rule in text.split("- alert: ").skip(1) {
            let name = rule.lines().next().unwrap();
            alerts += 1;
            for annotation in [
                "summary: ",
                "description: ",
                "runbook_url: docs/operations.md#",
            ] {
                assert!(
                    rule.contains(annotation),
                    "{file}: {name} has no {annotation}"
                );
            }
            let link = rule
                .split("runbook_url: docs/operations.md#")
                .nth(1)
                .unwrap();
            let anchor = link.lines().next().unwrap();
            assert!(
                anchors.contains(anchor),
                "{file}: {name}: no section {anchor}"
            );
            let tested = format!("alertname: {name}\n");
            let expected: Vec<bool> = (tests.split(&tested).skip(1))
                .map(|test| test.trim_start().starts_with("exp_alerts: []"))
                .collect();
            assert!(
                expected.contains(&true),
                "{name}: no test that it stays quiet"
            );
            assert!(expected.contains(&false), "{name}: no test that it fires");
        }
    }
    assert!(alerts > 10, "only {alerts} alerts");
}
