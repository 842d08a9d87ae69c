//! The ops listener: health, metrics, admin routes, log level, draining.

use std::time::Duration;

use avalon_test_support::{Avalon, FleetSettings, TestDatabase, eventually_eq};
use avalon_tests::{Game, send};
use serde_json::json;

const TIMEOUT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn health_readiness_and_metrics_have_their_own_port() {
    let dev = Avalon::command("dev").start().await;
    let game = Game::of(&dev, &dev);
    game.login("sim-alice").await;
    game.login("sim-error-40029").await;
    game.get("/api/jobs/nothing").await;
    let ops = |path: &str| game.client.get(format!("{}{path}", dev.ops));
    assert_eq!(send(ops("/healthz")).await.status, 200);
    let ready = send(ops("/readyz")).await.body;
    assert_eq!(
        ready,
        json!({"status": "ready", "stores": {"database": "ok", "queue": "ok"}})
    );

    let metrics = ops("/metrics").send().await.unwrap().text().await.unwrap();
    for series in [
        "avalon_http_requests_total{method=\"POST\",route=\"/api/wx/login\",status=\"200\"} 1",
        "avalon_http_requests_total{method=\"POST\",route=\"/api/wx/login\",status=\"401\"} 1",
        "avalon_http_requests_total{method=\"GET\",route=\"/api/jobs/{jobId}\",status=\"404\"} 1",
        "avalon_http_request_duration_seconds_count{method=\"POST\",route=\"/api/wx/login\"} 2",
        "avalon_jobs_enqueued_total{kind=\"login\",queue=\"login\"} 2",
        "avalon_jobs_settled_total{kind=\"login\",outcome=\"succeeded\",queue=\"login\"} 1",
        "avalon_jobs_settled_total{kind=\"login\",outcome=\"rejected\",queue=\"login\"} 1",
        "avalon_job_wait_seconds_count{kind=\"login\",queue=\"login\"} 2",
        "avalon_job_run_seconds_count{kind=\"login\",queue=\"login\"} 2",
        "avalon_job_end_to_end_seconds_count{kind=\"login\",queue=\"login\"} 2",
        "avalon_queue_depth{queue=\"callback\",state=\"ready\"} 0",
        "avalon_queue_oldest_seconds{queue=\"login\"} 0",
        "avalon_wechat_requests_total{api=\"code2session\",outcome=\"ok\"} 1",
        "avalon_wechat_requests_total{api=\"code2session\",outcome=\"sign_in_again\"} 1",
    ] {
        assert!(
            metrics.lines().any(|line| line == series),
            "{series} is not in\n{metrics}"
        );
    }
    let help = metrics
        .lines()
        .filter(|line| line.starts_with("# HELP avalon_"))
        .count();
    let types = metrics
        .lines()
        .filter(|line| line.starts_with("# TYPE avalon_"))
        .count();
    assert_eq!(help, types, "every metric has a help text");
}

#[tokio::test]
async fn ops_requests_have_an_id_and_are_logged() {
    let dev = Avalon::command("dev")
        .env("AVALON_ADMIN__TOKEN", FleetSettings::ADMIN_TOKEN)
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    for (path, status) in [("/admin/jobs", 401), ("/nothing/here", 404)] {
        let id = format!("ops-{status}");
        let request = game.client.get(format!("{}{path}", dev.ops));
        let response = send(request.header("x-request-id", &id)).await;
        assert_eq!(response.status, status);
        assert_eq!(response.header("x-request-id"), id);
        assert_eq!(response.body["requestId"], *id);
        let logged = |line: &str| line.contains(&id) && line.contains("request completed");
        // Written by a thread of its own.
        eventually_eq(Duration::from_secs(5), true, async || {
            dev.log().lines().any(logged)
        })
        .await;
    }
}

#[tokio::test]
async fn nul_in_operators_requests_is_no_server_error() {
    let database = TestDatabase::postgres().await;
    let dev = Avalon::command("dev")
        .env("AVALON_ADMIN__TOKEN", FleetSettings::ADMIN_TOKEN)
        .env("AVALON_DATABASE__URL", database.url())
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    for path in [
        "/admin/orders?openId=%00",
        "/admin/orders?cursor=%00",
        "/admin/orders/%00",
        "/admin/users/%00",
        "/internal/users/a%00b",
        "/admin/stats/events?eventName=%00",
        "/admin/stats/funnel?steps=%00",
        "/admin/jobs?cursor=%00",
        "/admin/jobs/%00",
        "/admin/audit?cursor=%00",
    ] {
        let request = game.client.get(format!("{}{path}", dev.ops));
        let response = send(request.bearer_auth(FleetSettings::ADMIN_TOKEN)).await;
        let status = response.status.as_u16();
        assert!(matches!(status, 400 | 404), "{path}: {response:?}");
    }
    let ban = game.client.post(format!("{}/admin/users/o/ban", dev.ops));
    let ban = ban.json(&json!({"reason": "\0"}));
    let response = send(ban.bearer_auth(FleetSettings::ADMIN_TOKEN)).await;
    assert_eq!(response.code(), "FIELD_INVALID");
}

#[tokio::test]
async fn admin_routes_require_the_token_and_manage_dead_letters() {
    let token = FleetSettings::ADMIN_TOKEN;
    let dev = Avalon::command("dev")
        .env("AVALON_ADMIN__TOKEN", token)
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    let url = |path: &str| format!("{}/admin/jobs{path}", dev.ops);
    for wrong in [
        "",
        "Bearer",
        "Bearer x",
        &format!("Basic {token}"),
        &format!("Bearer {token}x"),
    ] {
        let request = game.client.get(url("")).header("authorization", wrong);
        let response = send(request).await;
        assert_eq!(
            (response.status.as_u16(), response.code()),
            (401, "UNAUTHENTICATED"),
            "{wrong}"
        );
    }
    game.login("sim-error-40125")
        .await
        .assert_problem(503, "WECHAT_MISCONFIGURED");
    let admin = |request: reqwest::RequestBuilder| send(request.bearer_auth(token));
    let dead = admin(game.client.get(url("?queue=login&status=dead")))
        .await
        .body;
    let job = &dead["jobs"][0];
    assert_eq!(job["error"]["code"], "WECHAT_MISCONFIGURED");
    let id = job["jobId"].as_str().unwrap();
    let shown = admin(game.client.get(url(&format!("/{id}")))).await.body;
    assert_eq!(shown["status"], "dead");

    let retried = admin(game.client.post(url(&format!("/{id}/retry")))).await;
    assert_eq!(retried.status, 202);
    assert_eq!(
        game.job(&Game::sign_in_job(id, "sim-error-40125")).await["status"],
        "failed",
        "the code is still invalid"
    );
    assert_eq!(
        admin(game.client.delete(url(&format!("/{id}"))))
            .await
            .status,
        204
    );
    assert_eq!(
        admin(game.client.delete(url(&format!("/{id}"))))
            .await
            .status,
        404
    );
    assert_eq!(admin(game.client.get(url("?status=odd"))).await.status, 400);
    assert_eq!(admin(game.client.get(url("?colour=red"))).await.status, 400);
}

#[tokio::test]
async fn log_level_can_be_changed_at_runtime() {
    let token = FleetSettings::ADMIN_TOKEN;
    let dev = Avalon::command("dev")
        .env("AVALON_ADMIN__TOKEN", token)
        .config("[log]\nlevel = \"warn\"\n")
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    let log_of = async |code: &str| {
        let before = dev.log().len();
        assert_eq!(game.login(code).await.status, 200);
        dev.log()[before..].to_owned()
    };
    // Lines are written by a thread of their own.
    let logs_requests = async |code: &str| {
        let before = dev.log().len();
        assert_eq!(game.login(code).await.status, 200);
        eventually_eq(TIMEOUT, true, async || {
            dev.log()[before..].contains("request completed")
        })
        .await;
    };
    let put = |body: serde_json::Value| {
        let request = game.client.put(format!("{}/admin/log", dev.ops));
        send(request.bearer_auth(token).json(&body))
    };
    assert_eq!(log_of("sim-a").await, "");
    assert_eq!(put(json!({"level": "info"})).await.status, 200);
    logs_requests("sim-b").await;
    let refused = put(json!({"level": "info,avalon=loud"})).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (422, "FIELD_INVALID")
    );
    // Nothing has changed.
    logs_requests("sim-c").await;
    // A reload restores the configured level.
    dev.hang_up();
    eventually_eq(TIMEOUT, true, async || {
        dev.log().contains("log level reloaded")
    })
    .await;
    assert_eq!(log_of("sim-d").await, "");
}

#[tokio::test]
async fn draining_fails_readiness_first_and_serves_late_requests() {
    let mut dev = Avalon::command("dev")
        .env("AVALON_HTTP__DRAIN_DELAY", "2s")
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    let first = game.login("sim-a").await;
    assert_eq!(
        (first.status.as_u16(), first.header("connection")),
        (200, "")
    );
    dev.terminate();
    let ready = format!("{}/readyz", dev.ops);
    eventually_eq(TIMEOUT, json!("stopping"), async || {
        send(game.client.get(&ready)).await.body["status"].clone()
    })
    .await;
    // A request in progress when the listener closes still completes.
    let slow = game.login("sim-slow-2500-b");
    let late = async {
        let late = game.login("sim-c").await;
        assert_eq!(late.status, 200, "{late:?}");
        assert_eq!(
            late.header("connection"),
            "close",
            "the client reconnects elsewhere"
        );
    };
    let (slow, ()) = tokio::join!(slow, late);
    assert_eq!(slow.status, 200, "{slow:?}");
    assert!(dev.wait_exit().await.success());
    assert!(game.client.get(&ready).send().await.is_err());
}
