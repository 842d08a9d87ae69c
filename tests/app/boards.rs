//! Scores, leaderboards and rewards.

use avalon_tests::ApiResponse;
use avalon_tests::app::TestApp;
use avalon_workers::{CheckBoards, EndWindows, PullCheats};
use jiff::{Timestamp, ToSpan};
use reqwest::Method;
use serde_json::{Value, json};

struct Player {
    token: String,
    id: String,
    open_id: String,
}

async fn player(app: &TestApp, name: &str) -> Player {
    let body = app.sign_in(name).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Player {
        token: text(&body["token"]),
        id: text(&body["userInfo"]["_id"]),
        open_id: text(&body["userInfo"]["openId"]),
    }
}

async fn put(app: &TestApp, board: &str, settings: Value) -> ApiResponse {
    let path = format!("/admin/boards/{board}");
    app.send(app.admin(Method::PUT, &path).json(&settings))
        .await
}

async fn score(app: &TestApp, player: &Player, board: &str, score: i64) -> ApiResponse {
    let request = app.request(Method::POST, "/api/wx/score");
    let request = request.bearer_auth(&player.token);
    app.send(request.json(&json!({"board": board, "score": score})))
        .await
}

async fn get(app: &TestApp, player: &Player, path: &str) -> ApiResponse {
    let request = app.request(Method::GET, path);
    app.send(request.bearer_auth(&player.token)).await
}

#[tokio::test]
async fn scores_are_ranked_without_openids() {
    let app = TestApp::start().await;
    let (alice, bob) = (player(&app, "alice").await, player(&app, "bob").await);
    let first = score(&app, &alice, "score", 10).await;
    assert_eq!(first.body, json!({"accepted": true, "best": 10, "rank": 1}));
    let second = score(&app, &bob, "score", 12).await;
    assert_eq!(second.body["rank"], 1);
    let worse = score(&app, &alice, "score", 9).await;
    assert_eq!(
        worse.body,
        json!({"accepted": false, "best": 10, "rank": 2})
    );
    let page = get(&app, &alice, "/api/wx/leaderboard/score?limit=1").await;
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(page.body["board"], "score");
    assert_eq!(page.body["window"], "all");
    assert_eq!(
        page.body["entries"],
        json!([{"rank": 1, "userId": bob.id, "score": 12}])
    );
    assert_eq!(page.body["me"]["rank"], 2);
    let cursor = page.body["nextCursor"].as_str().unwrap();
    let next = get(
        &app,
        &alice,
        &format!("/api/wx/leaderboard/score?cursor={cursor}"),
    )
    .await;
    assert_eq!(next.body["entries"][0]["userId"], alice.id);
    assert_eq!(next.body["nextCursor"], Value::Null);
    assert!(!next.body.to_string().contains(&alice.open_id));

    let lookup = app.admin(Method::POST, "/admin/boards/score/lookup");
    let lookup = lookup.json(&json!({"openIds": [alice.open_id], "userIds": [bob.id]}));
    let found = app.send(lookup).await;
    let ranks = |found: &ApiResponse| -> Vec<Value> {
        let entries = found.body["entries"].as_array().unwrap();
        entries.iter().map(|entry| entry["rank"].clone()).collect()
    };
    assert_eq!(ranks(&found), [1, 2]);
}

#[tokio::test]
async fn invalid_requests_are_refused() {
    let app = TestApp::start().await;
    let alice = player(&app, "alice").await;
    for (board, status, code) in [
        ("unknown", 404, "BOARD_NOT_FOUND"),
        ("a b", 404, "BOARD_NOT_FOUND"),
    ] {
        let response = score(&app, &alice, board, 1).await;
        response.assert_problem(status, code);
    }
    let too_large = score(&app, &alice, "score", i64::MAX).await;
    too_large.assert_problem(422, "FIELD_INVALID");
    for query in [
        "limit=0",
        "limit=101",
        "around=you",
        "cursor=x",
        "window=a%20b",
    ] {
        let response = get(&app, &alice, &format!("/api/wx/leaderboard/score?{query}")).await;
        response.assert_problem(400, "QUERY_INVALID");
    }
    let response = get(&app, &alice, "/api/wx/leaderboard/score?window=2020").await;
    response.assert_problem(404, "WINDOW_NOT_FOUND");
    let response = get(&app, &alice, "/api/wx/leaderboard/score?group=g").await;
    response.assert_problem(404, "GROUP_NOT_FOUND");
    let response = get(&app, &alice, "/api/wx/rewards?cursor=x").await;
    response.assert_problem(400, "QUERY_INVALID");
    for odd in [
        json!({"min": 2, "max": 1}),
        json!({"timeZone": "Mars/Olympus"}),
        json!({"maxRate": 1.5}),
        json!({"prizes": [{"to": 1, "items": [{"productId": "gold", "quantity": 1}]}]}),
        json!({"window": "season", "seasons": [{"name": "s", "from": "2026-02-01", "to": "2026-01-01"}]}),
        json!({"unknown": 1}),
        json!({"order": "up"}),
    ] {
        let response = put(&app, "score", odd.clone()).await;
        assert_eq!(
            (response.status.as_u16(), response.code()),
            (422, "FIELD_INVALID"),
            "{odd}"
        );
    }
}

#[tokio::test]
async fn board_says_who_may_report() {
    let app = TestApp::start().await;
    let alice = player(&app, "alice").await;
    put(&app, "signed", json!({"writer": "signed"})).await;
    put(&app, "server", json!({"writer": "server", "keep": "sum"})).await;
    let refused = score(&app, &alice, "signed", 1).await;
    refused.assert_problem(401, "SIGNATURE_REQUIRED");
    let refused = score(&app, &alice, "server", 1).await;
    refused.assert_problem(403, "FORBIDDEN");
    for _ in 0..2 {
        let report = app.admin(Method::POST, "/internal/scores");
        let report = report.header("idempotency-key", "match-1");
        let body = json!({"openId": alice.open_id, "board": "server", "score": 7});
        let response = app.send(report.json(&body)).await;
        assert_eq!(response.body["best"], 7, "{response:?}");
    }
    let unknown = app.admin(Method::POST, "/internal/scores");
    let body = json!({"openId": "unknown", "board": "server", "score": 7});
    let unknown = app.send(unknown.json(&body)).await;
    unknown.assert_problem(404, "USER_NOT_FOUND");
    let limited = put(&app, "limited", json!({"perMinute": 1})).await;
    assert_eq!(limited.body["perMinute"], 1, "{limited:?}");
    score(&app, &alice, "limited", 1).await;
    // A minute may begin in between.
    let mut last = score(&app, &alice, "limited", 2).await;
    if last.status == 200 {
        last = score(&app, &alice, "limited", 3).await;
    }
    last.assert_problem(429, "RATE_LIMITED");
}

#[tokio::test]
async fn held_score_is_judged_by_an_operator() {
    let app = TestApp::start().await;
    let (alice, bob) = (player(&app, "alice").await, player(&app, "bob").await);
    put(&app, "run", json!({"runs": "required", "maxRate": 1.5})).await;
    score(&app, &alice, "run", 5)
        .await
        .assert_problem(422, "RUN_INVALID");
    let open = app
        .request(Method::POST, "/api/wx/score/run")
        .bearer_auth(&alice.token);
    let run = app.send(open.json(&json!({"board": "run"}))).await;
    let expires = run.body["expires"].as_i64().unwrap();
    assert!(expires > Timestamp::now().as_millisecond());
    let report = app
        .request(Method::POST, "/api/wx/score")
        .bearer_auth(&alice.token);
    let body =
        json!({"board": "run", "score": 1000, "runId": run.body["runId"], "extra": {"level": 3}});
    let held = app.send(report.json(&body)).await;
    assert_eq!(
        held.body,
        json!({"accepted": true, "best": 1000, "rank": 1})
    );
    let page = get(&app, &bob, "/api/wx/leaderboard/run").await;
    assert_eq!(page.body["entries"], json!([]));
    let listed = app
        .send(app.admin(Method::GET, "/admin/boards/run/held"))
        .await;
    let listed = &listed.body["scores"][0];
    assert_eq!(listed["reason"], "rate");
    assert_eq!(listed["extra"]["level"], 3);
    let path = format!(
        "/admin/boards/run/held/{}/release",
        listed["scoreId"].as_str().unwrap()
    );
    let released = app.send(app.admin(Method::POST, &path)).await;
    assert_eq!(
        (&released.body["verdict"], &released.body["changed"]),
        (&json!("released"), &json!(true))
    );
    app.send(app.admin(Method::POST, &path))
        .await
        .assert_problem(404, "NOT_FOUND");
    let page = get(&app, &bob, "/api/wx/leaderboard/run").await;
    assert_eq!(page.body["entries"][0]["score"], 1000);
}

#[tokio::test]
async fn season_ends_with_prizes_that_the_player_sees() {
    let app = TestApp::start().await;
    let alice = player(&app, "alice").await;
    let gold = app.admin(Method::PUT, "/admin/products/gold");
    app.send(gold.json(&json!({"name": "Gold", "price": 1})))
        .await;
    let now = Timestamp::now();
    let season = |to: Timestamp| {
        json!({
            "window": "season", "grace": "0s",
            "seasons": [{"name": "s1", "from": (now - 1.hour()).to_string(), "to": to.to_string()}],
            "prizes": [{"to": 3, "items": [{"productId": "gold", "quantity": 5}]}],
        })
    };
    put(&app, "cup", season(now + 1.hour())).await;
    assert_eq!(score(&app, &alice, "cup", 3).await.status, 200);
    put(&app, "cup", season(Timestamp::now())).await;
    app.app.queue.enqueue(&EndWindows {}).await.unwrap();
    app.run_due().await;
    score(&app, &alice, "cup", 4)
        .await
        .assert_problem(409, "BOARD_CLOSED");
    let rewards = get(&app, &alice, "/api/wx/rewards").await;
    let rewards = &rewards.body["rewards"];
    assert_eq!(rewards[0]["source"], format!("season:cup:s1:{}", alice.id));
    assert_eq!(
        rewards[0]["items"],
        json!([{"productId": "gold", "quantity": 5}])
    );
    let items = get(&app, &alice, "/api/wx/inventory").await;
    assert_eq!(items.body["items"][0]["quantity"], 5);
    let page = get(&app, &alice, "/api/wx/leaderboard/cup?window=s1").await;
    assert_eq!(page.body["me"]["score"], 3);
}

#[tokio::test]
async fn cheats_of_wechats_list_are_hidden_until_an_operator_clears_them() {
    let app = TestApp::start().await;
    let (alice, bob) = (player(&app, "alice").await, player(&app, "bob").await);
    put(&app, "score", json!({"holdMarked": true})).await;
    score(&app, &alice, "score", 10).await;
    score(&app, &bob, "score", 5).await;
    let hour =
        Timestamp::now().to_zoned_datetime(jiff::tz::TimeZone::get("Asia/Shanghai").unwrap());
    let cheats = json!({"cheats": [{
        "openid": alice.open_id, "ds": hour.strftime("%Y%m%d%H").to_string(),
        "cheat_type": 1, "risk_level": 4,
    }]});
    let set = avalon_tests::client().put(format!("{}/_sim/cheats", app.simulator));
    let set = app.send(set.json(&cheats)).await;
    assert!(set.status.is_success(), "{set:?}");
    app.app.queue.enqueue(&PullCheats {}).await.unwrap();
    app.run_due().await;
    app.app.boards.synchronise(Timestamp::now()).await.unwrap();
    let first = async |player: &Player| {
        let page = get(&app, player, "/api/wx/leaderboard/score").await;
        page.body["entries"][0]["userId"].clone()
    };
    assert_eq!(first(&bob).await, bob.id);
    let listed = app.send(app.admin(Method::GET, "/admin/cheats")).await;
    assert_eq!(listed.body["players"][0]["openId"], alice.open_id);
    let clear = format!("/admin/cheats/{}", alice.open_id);
    assert_eq!(
        app.send(app.admin(Method::DELETE, &clear)).await.status,
        204
    );
    app.app.boards.synchronise(Timestamp::now()).await.unwrap();
    assert_eq!(first(&bob).await, alice.id);
}

#[tokio::test]
async fn daily_comparison_is_exported() {
    let app = TestApp::start().await;
    let alice = player(&app, "alice").await;
    score(&app, &alice, "score", 10).await;
    let window = avalon_core::social::boards::WindowId {
        board: "score".parse().unwrap(),
        window: "all".parse().unwrap(),
    };
    app.app.boards.rebuild(&window).await.unwrap();
    app.app.queue.enqueue(&CheckBoards {}).await.unwrap();
    app.run_due().await;
    let metrics = client_text(&app).await;
    assert!(metrics.contains("avalon_board_differences 0"), "{metrics}");
    let counted = "avalon_scores_total{board=\"score\",outcome=\"improved\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}

async fn client_text(app: &TestApp) -> String {
    let response = avalon_tests::client().get(format!("{}/metrics", app.ops));
    response.send().await.unwrap().text().await.unwrap()
}
