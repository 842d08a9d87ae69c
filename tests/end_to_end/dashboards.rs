//! Dashboards and alert rules against a running system, with Prometheus in between: every query matches
//! exported metrics, no panel is empty because of a typo, and nothing fires in a healthy system.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use avalon_core::analytics::Day;
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::Database;
use avalon_test_support::{
    Fleet, FleetSettings, PrometheusServer, TestDatabase, eventually_eq, shared_redis_url,
    unique_prefix,
};
use avalon_tests::promql::{Selector, filled_in, queries, selectors, sql_queries};
use avalon_tests::{Game, send};
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::Connection;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Exported once a call has needed an access token; none does here.
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

/// Invitations with a budget, so that its metric exists.
pub(crate) const INVITES: &str = r#"{"milestone": {"days": 1},
    "inviter": [{"productId": "gems-60", "quantity": 1}], "budget": 10}"#;

async fn ask(prometheus: &PrometheusServer, path: &str, parameters: &[(&str, &str)]) -> Value {
    let text = prometheus.get(path, parameters).await;
    serde_json::from_str::<Value>(&text).unwrap()["data"].take()
}

/// Starts a game server that accepts every webhook; returns its URL.
async fn game_server() -> String {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/webhooks", socket.local_addr().unwrap());
    let router = axum::Router::new().fallback(async || axum::http::StatusCode::NO_CONTENT);
    tokio::spawn(async move { axum::serve(socket, router).await.unwrap() });
    url
}

/// Normal activity of a fleet. Run twice, so that every counter increases between scrapes.
async fn simulate_day(fleet: &Fleet, game: &Game, day: u32) {
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
    for name in ["paid", "refunded"] {
        let created = alice.order("gems-60", 1, &key(name)).await;
        let order = created.body["orderId"].as_str().unwrap().to_owned();
        alice.pay(&created).await;
        eventually_eq(TIMEOUT, "paid".to_owned(), || alice.status(&order)).await;
        if name == "refunded" {
            let refund = format!("{}/admin/orders/{order}/refund", fleet.apis[0].ops);
            let refunded = admin(game.client.post(refund).json(&json!({"reason": "a test"}))).await;
            assert_eq!(refunded.status, 202, "{refunded:?}");
            eventually_eq(TIMEOUT, "refunded".to_owned(), || alice.status(&order)).await;
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

/// Words in the row of a metric in `docs/metrics.md`, for label values that may not have occurred yet.
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

/// Lists the metrics and label values of a selector that do not exist.
async fn missing(
    prometheus: &PrometheusServer,
    Selector { name, matchers }: Selector,
) -> Vec<String> {
    let series = [("match[]", name.as_str())];
    let labels = ask(prometheus, "labels", &series).await;
    if labels.as_array().is_none_or(Vec::is_empty) {
        return match name == ONLY_WITH_A_TOKEN && !documented(&name).is_empty() {
            true => vec![],
            false => vec![format!("no metric {name}")],
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
            // A real pattern, such as 5.., is not checked.
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
async fn every_query_has_data_and_no_alert_fires_when_healthy() {
    let database = TestDatabase::postgres().await;
    let fleet = FleetSettings::new(database.url(), &shared_redis_url().await)
        .with_payments()
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix())
        .env("AVALON_SOCIAL__INVITES", INVITES)
        .env("AVALON_FULFIL__WEBHOOK_URL", game_server().await)
        .env(
            "AVALON_FULFIL__WEBHOOK_SECRET",
            "a-shared-secret-of-the-game",
        )
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
    // Target discovery takes some seconds.
    eventually_eq(TIMEOUT, json!("2"), async || {
        let up = ask(&prometheus, "query", &[("query", "sum(up)")]).await;
        up["result"][0]["value"][1].clone()
    })
    .await;
    simulate_day(&fleet, &game, 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    simulate_day(&fleet, &game, 2).await;
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
            problems.push(format!("{name} fires in a healthy system: {rule}"));
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
            let response = ask(&prometheus, "query", &[("query", &query)]).await;
            let result = response["result"].as_array().unwrap();
            // Panels that may legitimately be empty.
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

/// Inserts a player who signed in and bought six days ago and returned the next day, and WeChat's statistics
/// of that time.
async fn insert_week_of_events(database: &mut sqlx::PgConnection, today: i64) {
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
         INSERT INTO analytics_events (day, at, received_at, event_id, user_id, event_name, params, source, known)
         SELECT {today} - 1, ({today} - 1) * 86400000::bigint, 0, name || '-' || params, 'ann', name, params::jsonb, 'client', 1
         FROM (VALUES
             ('$launch', '{{\"sdkVersion\":\"0.1.0\"}}'),
             ('$client', '{{\"failures\":{{\"NETWORK\":2,\"TIMEOUT\":1}},\"dropped\":3}}'),
             -- What a foreign client may send.
             ('$client', '{{\"failures\":{{\"NETWORK\":\"many\"}},\"dropped\":\"all\"}}'),
             ('$client', '{{\"failures\":7}}'),
             ('$payment', '{{\"channel\":\"wechat_pay\",\"verdict\":\"cancelled\",\"code\":-2}}')
         ) events (name, params);
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
async fn every_sql_panel_returns_rows() {
    let home = TestDatabase::postgres().await;
    let config = DatabaseConfig {
        url: home.url().parse().unwrap(),
        ..DatabaseConfig::default()
    };
    Database::new(&config).unwrap().migrate().await.unwrap();
    let mut database = sqlx::PgConnection::connect(home.url()).await.unwrap();
    let now = Timestamp::now();
    insert_week_of_events(&mut database, Day::of(now).number()).await;
    let mut queries_run = 0;
    for (board, text) in files("grafana/dashboards") {
        let board_json: Value = serde_json::from_str(&text).unwrap();
        for (panel, query) in sql_queries(&board_json, now.as_second()) {
            let counted = format!(
                "SELECT count(*), coalesce(string_agg(row_to_json(q)::text, ' '), '') FROM ({query}) q"
            );
            let response = sqlx::query_as::<_, (i64, String)>(sqlx::AssertSqlSafe(counted));
            let (rows, seen) = response
                .fetch_one(&mut database)
                .await
                .unwrap_or_else(|error| panic!("{board}, {panel}: {error}: {query}"));
            assert!(rows > 0, "{board}, {panel}: nothing to show for {query}");
            let expected = match panel.as_str() {
                "Daily active players, compared with WeChat" => {
                    r#""ours":1,"WeChat":7,"ours, new":1,"WeChat, new":5"#
                }
                "Retention, compared with WeChat" => {
                    r#""players":1,"day 1":1,"day 1, WeChat":0.4,"day 3":0,"#
                }
                "Funnel" => r#""step":"3 order_refunded","players":1"#,
                "SDK versions" => r#""metric":"0.1.0","starts":1"#,
                "Failed calls by code" => r#""code":"NETWORK","failures":2,"players":1"#,
                "Events dropped by clients" => r#""dropped":3"#,
                "Payment sheets by code" => r#""verdict":"cancelled","code":"-2","sheets":1"#,
                _ => "",
            };
            assert!(seen.contains(expected), "{board}, {panel}: {seen}");
            queries_run += 1;
        }
    }
    assert!(queries_run >= 12, "only {queries_run} queries");
}

#[test]
fn every_alert_has_annotations_and_unit_tests() {
    let tests: String = (files("grafana/prometheus/tests").into_iter())
        .map(|(_, text)| text)
        .collect();
    let alerts = alert_rules();
    assert!(alerts.len() > 10, "only {} alerts", alerts.len());
    for (name, rule) in alerts {
        for annotation in ["summary: ", "description: "] {
            assert!(rule.contains(annotation), "{name} has no {annotation}");
        }
        let runbook = format!("          runbook_url: docs/runbooks/{name}.md\n");
        assert!(rule.contains(&runbook), "{name} has not {runbook}");
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

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let alerts = alert_rules();
    let mut pages: BTreeMap<String, String> = files("docs/runbooks").into_iter().collect();
    let index = pages.remove("README").unwrap();
    let names: BTreeSet<&String> = alerts.keys().collect();
    assert_eq!(pages.keys().collect::<BTreeSet<_>>(), names);
    for (name, page) in &pages {
        let headings: Vec<&str> = page.lines().filter(|line| line.starts_with('#')).collect();
        let title = format!("# {name}");
        let expected = [
            title.as_str(),
            "## Meaning",
            "## Impact",
            "## Diagnosis",
            "## Mitigation",
            "## Resolution",
        ];
        assert_eq!(headings, expected);
    }
    let rows: BTreeSet<String> = (index.lines().filter(|line| line.starts_with("| [")))
        .map(|row| row.rsplit_once(" | ").unwrap().0.to_owned())
        .collect();
    let expected: BTreeSet<String> = (alerts.iter())
        .map(|(name, rule)| {
            let severity = rule.split_once("labels: {severity: ").unwrap().1;
            let severity = severity.split_once('}').unwrap().0;
            format!("| [{name}]({name}.md) | {severity}")
        })
        .collect();
    assert_eq!(rows, expected);
}

/// The alerting rules: name and text.
fn alert_rules() -> BTreeMap<String, String> {
    let rules: Vec<(String, String)> = files("grafana/prometheus/rules");
    let alerts = rules
        .iter()
        .flat_map(|(_, text)| text.split("- alert: ").skip(1));
    alerts
        .map(|rule| {
            let name = rule.lines().next().unwrap();
            (name.to_owned(), rule.to_owned())
        })
        .collect()
}
