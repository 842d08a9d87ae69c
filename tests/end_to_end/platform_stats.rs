//! WeChat's daily statistics: fetched on a schedule, late ones too, and shown to operators.

use std::collections::BTreeMap;
use std::time::Duration;

use avalon_test_support::{
    Avalon, FleetSettings, TestDatabase, eventually_eq, shared_redis_url, unique_prefix,
};
use avalon_tests::{client, send};
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(30);
const DATASETS: [&str; 4] = ["game:1000006:4", "retain", "summary", "visits"];

/// The days that are requested at any hour: from two to seven days ago.
fn days() -> Vec<Date> {
    let today = Offset::constant(8).to_datetime(Timestamp::now()).date();
    (2..=7)
        .rev()
        .map(|ago| today.saturating_sub(i64::from(ago).days()))
        .collect()
}

async fn stats(workers: &Avalon, query: &str) -> Value {
    let url = format!("{}/admin/stats/platform{query}", workers.ops);
    let request = client().get(url).bearer_auth(FleetSettings::ADMIN_TOKEN);
    send(request).await.body
}

/// The stored datasets, by day.
async fn stored(workers: &Avalon) -> BTreeMap<String, Vec<String>> {
    let days = days();
    let query = format!("?from={}&to={}", days[0], days[5]);
    let days = stats(workers, &query).await["days"].clone();
    let days = days.as_array().cloned().unwrap_or_default();
    days.iter()
        .map(|day| {
            let names = day.as_object().unwrap().keys();
            let datasets = names.filter(|name| !["day", "ours"].contains(&name.as_str()));
            let datasets = datasets.cloned().collect();
            (day["day"].as_str().unwrap().to_owned(), datasets)
        })
        .collect()
}

fn complete(days: &[Date]) -> BTreeMap<String, Vec<String>> {
    let datasets = DATASETS.map(str::to_owned).to_vec();
    days.iter()
        .map(|day| (day.to_string(), datasets.clone()))
        .collect()
}

async fn control(simulator: &Avalon, body: Value) {
    let url = format!("{}/_sim/analysis", simulator.simulator);
    assert!(
        send(client().put(url).json(&body))
            .await
            .status
            .is_success()
    );
}

/// Number of requests for the summary of a day.
async fn summary_requests(simulator: &Avalon) -> u64 {
    let url = format!(
        "{}/_sim/requests/count?api=summary_trend",
        simulator.simulator
    );
    send(client().get(url)).await.body["count"]
        .as_u64()
        .unwrap()
}

#[tokio::test]
async fn missing_days_are_fetched_later_and_each_day_once() {
    let (database, redis) = (TestDatabase::postgres().await, shared_redis_url().await);
    let settings = FleetSettings::new(database.url(), &redis)
        .env("AVALON_PLATFORM_STATS__ENABLED", "true")
        .env("AVALON_PLATFORM_STATS__GAME_METRICS", "1000006:4");
    let simulator = settings.simulator().start().await;
    // Each with its own queue, so that its schedule starts over.
    let workers = async || {
        let prefix = unique_prefix();
        let workers = settings
            .command("workers")
            .env("AVALON_REDIS__KEY_PREFIX", prefix);
        workers.start().await
    };
    let days = days();
    control(
        &simulator,
        json!({"missingDays": [days[3]], "unready": "error"}),
    )
    .await;
    let mut all_but_one = complete(&days);
    all_but_one.remove(&days[3].to_string());
    let first = workers().await;
    eventually_eq(TIMEOUT, all_but_one, async || stored(&first).await).await;

    control(&simulator, json!({"missingDays": []})).await;
    let before = summary_requests(&simulator).await;
    let second = workers().await;
    eventually_eq(TIMEOUT, complete(&days), async || stored(&second).await).await;
    let after = summary_requests(&simulator).await;
    assert_eq!(after - before, 1, "stored days are not requested again");

    let shown = stats(&second, &format!("?from={0}&to={0}", days[3])).await;
    let day = &shown["days"][0];
    assert!(day["visits"]["visit_uv"].as_i64().unwrap() >= 1000, "{day}");
    assert_eq!(day["retain"]["visit_uv"][0]["key"], 0, "{day}");
    assert!(day["game:1000006:4"].as_f64().unwrap() >= 500.0, "{day}");
}

#[tokio::test]
async fn invalid_day_ranges_are_rejected() {
    let dev = Avalon::command("dev")
        .env("AVALON_ADMIN__TOKEN", FleetSettings::ADMIN_TOKEN)
        .start()
        .await;
    assert_eq!(stats(&dev, "").await, json!({"days": []}), "off by default");
    for query in [
        "?from=2026-01-02&to=2026-01-01",
        "?from=2024-01-01&to=2026-01-01",
        "?from=yesterday",
        "?day=2026-01-01",
    ] {
        assert_eq!(stats(&dev, query).await["code"], "QUERY_INVALID", "{query}");
    }
}
