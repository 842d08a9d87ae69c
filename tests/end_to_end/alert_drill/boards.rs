//! Leaderboards: held scores pile up, a season cannot end, the index is changed behind the service's back.

use avalon_test_support::FleetSettings;
use avalon_tests::send;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::harness::{Drill, Stores};

pub(super) const ALERTS: &[&str] = &["BoardsDiffer", "ScoresHeld", "SeasonNotEnded"];

#[tokio::test]
#[ignore = "takes minutes; run by scripts/alert-drill"]
async fn drill() {
    let stores = Stores::start().await;
    let fleet = stores.fleet().start(1, 1).await;
    let mut drill = Drill::of(fleet, ALERTS).await;
    let mut tables = PgConnection::connect(stores.database.url()).await.unwrap();

    let fault = drill
        .fault("a player's score is held for days", &["ScoresHeld"])
        .await;
    put(&drill, "bounded", json!({"max": 10})).await;
    score(&drill, "bounded", 11).await;
    execute(
        &mut tables,
        "UPDATE held_scores SET at = at - 4 * 24 * 3600 * 1000",
    )
    .await;
    drill.fires(&fault).await;
    let held = operator(
        &drill,
        reqwest::Method::GET,
        "boards/bounded/held",
        json!({}),
    )
    .await;
    let id = held["scores"][0]["scoreId"].as_str().unwrap();
    let reject = format!("boards/bounded/held/{id}/reject");
    operator(&drill, reqwest::Method::POST, &reject, json!({})).await;
    drill.ends(fault).await;

    let fault = drill
        .fault(
            "a prize is a product that does not exist",
            &["SeasonNotEnded"],
        )
        .await;
    let season = |to: Timestamp| {
        json!({
            "window": "season", "grace": "0s",
            "seasons": [{"name": "s1", "from": "2020-01-01", "to": to.to_string()}],
            "prizes": [{"to": 1, "items": [{"productId": "crown", "quantity": 1}]}],
        })
    };
    put(&drill, "cup", season(Timestamp::now() + 1.hour())).await;
    score(&drill, "cup", 1).await;
    put(&drill, "cup", season(Timestamp::now() - 10.minutes())).await;
    drill.fires(&fault).await;
    drill.game.sell(&drill.fleet.apis[0], "crown", 1).await;
    drill.ends(fault).await;

    let fault = drill
        .fault(
            "scores were changed directly in the database",
            &["BoardsDiffer"],
        )
        .await;
    score(&drill, "score", 5).await;
    command(&drill, "rebuild").await;
    execute(&mut tables, "UPDATE scores SET sort_key = sort_key - 1").await;
    assert!(!command(&drill, "check").await);
    drill.fires(&fault).await;
    command(&drill, "rebuild").await;
    assert!(command(&drill, "check").await);
    drill.ends(fault).await;

    drill.finish();
}

async fn execute(tables: &mut PgConnection, sql: &'static str) {
    sqlx::query(sql).execute(tables).await.unwrap();
}

async fn operator(drill: &Drill, method: reqwest::Method, path: &str, body: Value) -> Value {
    let url = format!("{}/admin/{path}", drill.fleet.apis[0].ops);
    let request = drill.game.client.request(method, url);
    let request = request.bearer_auth(FleetSettings::ADMIN_TOKEN);
    let response = send(request.json(&body)).await;
    assert!(response.status.is_success(), "{response:?}");
    response.body
}

async fn put(drill: &Drill, board: &str, settings: Value) {
    operator(
        drill,
        reqwest::Method::PUT,
        &format!("boards/{board}"),
        settings,
    )
    .await;
}

async fn score(drill: &Drill, board: &str, score: i64) {
    let alice = drill.game.player("alice").await;
    let body = json!({"board": board, "score": score});
    let response = alice.post("/api/wx/score", "k", body).await;
    assert_eq!(response.status, 200, "{response:?}");
}

/// Runs `avalon boards`; returns whether it succeeded.
async fn command(drill: &Drill, name: &str) -> bool {
    let command = drill.fleet.settings.command("boards").arg(name);
    command.run().await.status.success()
}
