//! The playground of `avalon dev`: what it serves, to whom, and that no other role has it.

use std::time::{Duration, Instant};

use avalon_test_support::{Avalon, FleetSettings, TestDatabase};
use avalon_tests::{ApiResponse, Game, client, send};
use reqwest::StatusCode;
use serde_json::json;

async fn get(url: &str, headers: &[(&str, &str)]) -> ApiResponse {
    let mut request = client().get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request).await
}

#[tokio::test]
async fn dev_serves_the_playground_at_its_root() {
    let dev = Avalon::command("dev").start().await;
    let page = client().get(&dev.http).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    for part in [
        "default-src 'none'",
        "script-src 'self' 'sha256-",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let html = page.text().await.unwrap();
    // Every file that the page names is there.
    for name in ["style.css", "playground.js"] {
        assert!(html.contains(&format!("\"playground/{name}\"")), "{html}");
        let url = format!("{}/playground/{name}", dev.http);
        let file = client().get(url).send().await.unwrap();
        assert_eq!(file.status(), StatusCode::OK, "{name}");
        assert_eq!(
            file.headers()["x-content-type-options"],
            "nosniff",
            "{name}"
        );
    }
}

#[tokio::test]
async fn playground_controls_simulator_and_operators_routes() {
    let dev = Avalon::command("dev").start().await;
    let base = format!("{}/playground", dev.http);
    let code = client()
        .post(format!("{base}/_sim/codes"))
        .json(&json!({"name": "alice"}));
    let code = send(code).await;
    assert_eq!(code.status, 200, "{code:?}");
    let login = Game::of(&dev, &dev)
        .login(code.body["code"].as_str().unwrap())
        .await;
    assert_eq!(login.status, 200, "{login:?}");
    // The page has no token; a wrong one of the browser is replaced.
    let orders = format!("{base}/admin/orders");
    for headers in [&[][..], &[("authorization", "Bearer wrong")]] {
        let response = get(&orders, headers).await;
        assert_eq!(response.status, 200, "{response:?}");
        assert!(response.body["orders"].is_array(), "{response:?}");
    }
}

#[tokio::test]
async fn playground_answers_only_its_own_page() {
    let dev = Avalon::command("dev").start().await;
    let orders = format!("{}/playground/admin/orders", dev.http);
    for foreign in [
        ("host", "evil.example"),
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let response = get(&orders, &[foreign]).await;
        assert_eq!(response.status, 403, "{foreign:?}: {response:?}");
    }
    let page = get(&format!("{}/", dev.http), &[("host", "evil.example")]).await;
    assert_eq!(page.status, 403, "{page:?}");
}

#[tokio::test]
async fn other_roles_have_no_playground() {
    let database = TestDatabase::sqlite();
    let settings = FleetSettings::new(database.url(), "");
    let all = settings.all().start().await;
    for path in [
        "/",
        "/playground/playground.js",
        "/playground/_sim/state",
        "/playground/admin/orders",
    ] {
        let response = get(&format!("{}{path}", all.http), &[]).await;
        assert_eq!(
            (response.status.as_u16(), response.code()),
            (404, "NOT_FOUND"),
            "{path}"
        );
    }
}

/// Reads server-sent events until one contains `text`.
async fn heard(stream: &mut reqwest::Response, text: &str) -> String {
    let mut seen = String::new();
    let read = async {
        while !seen.contains(text) {
            let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
            seen.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), read).await;
    assert!(ended.is_ok(), "no {text} in {seen}");
    seen
}

#[tokio::test]
async fn live_stream_reports_an_order_and_its_payment() {
    let mut dev = Avalon::command("dev").start().await;
    let game = Game::of(&dev, &dev);
    let url = format!("{}/playground/live", dev.http);
    let mut stream = client().get(url).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    heard(&mut stream, "event: orders").await;
    let alice = game.player("alice").await;
    let created = alice.order("gems-60", 1, "k1").await;
    let order = created.body["orderId"].as_str().unwrap().to_owned();
    heard(&mut stream, &order).await;
    alice.pay(&created).await;
    heard(&mut stream, r#""status":"paid""#).await;
    // Reading does not fill the log.
    assert!(!dev.log().contains("route=\"/admin"), "{}", dev.log());
    // A connected page does not delay the end of the process.
    let begun = Instant::now();
    dev.terminate();
    assert!(dev.wait_exit().await.success());
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}
