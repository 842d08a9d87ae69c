//! apalis-board over the real queues, through the routes that its pages use and in a browser.

use std::time::Duration;

use avalon_core::jobs::QUEUES;
use avalon_test_support::{Avalon, FleetSettings, eventually_eq};
use avalon_tests::{ApiResponse, Game, client, send};
use reqwest::Method;
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(20);

/// An operator's browser, with the password.
struct Browser<'a> {
    dev: &'a Avalon,
    game: &'a Game,
}

impl Browser<'_> {
    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.dev.ops);
        let request = self.game.client.request(method, url);
        request.basic_auth("operator", Some(FleetSettings::ADMIN_TOKEN))
    }

    async fn get(&self, path: &str) -> Value {
        let response = send(self.request(Method::GET, path)).await;
        assert_eq!(response.status, 200, "{path}: {response:?}");
        response.body
    }

    /// Sends the request of one of our buttons on the board's pages.
    async fn press(&self, method: Method, path: &str) -> ApiResponse {
        send(self.request(method, path).header("x-avalon-board", "1")).await
    }
}

#[tokio::test]
async fn board_shows_queues_and_replays_or_purges_dead_letters() {
    let dev = Avalon::command("dev")
        .env("AVALON_ADMIN__TOKEN", FleetSettings::ADMIN_TOKEN)
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    let browser = Browser {
        dev: &dev,
        game: &game,
    };
    game.login("sim-error-40125").await;

    let queues = browser.get("/api/v1/queues").await;
    let names: Vec<&str> = queues
        .as_array()
        .unwrap()
        .iter()
        .map(|queue| queue["name"].as_str().unwrap())
        .collect();
    for queue in [
        "login",
        "order",
        "callback",
        "event",
        "event-realtime",
        "fulfil",
        "social",
    ] {
        assert!(names.contains(&queue), "{queue} is not in {names:?}");
    }
    let workers = browser.get("/api/v1/workers").await;
    let of_login = |worker: &&Value| worker["queue"] == "login";
    let worker = workers.as_array().unwrap().iter().find(of_login).unwrap();
    assert!(
        worker["started_at"].as_u64().unwrap() > 1_700_000_000,
        "{worker}"
    );

    let dead = browser
        .get("/api/v1/queues/login/tasks?status=Killed&page=1")
        .await;
    assert_eq!(dead.as_array().unwrap().len(), 1, "{dead}");
    let task = &dead[0];
    assert_eq!(task["args"]["kind"], "login");
    assert_eq!(task["args"]["error"]["code"], "WECHAT_MISCONFIGURED");
    assert!(
        !task.to_string().contains("sim-error"),
        "the sign-in code is a secret: {task}"
    );
    let id = task["ctx"]["task_id"].as_str().unwrap().to_owned();
    let shown = browser
        .get(&format!("/api/v1/queues/login/tasks/{id}"))
        .await;
    assert_eq!(shown["ctx"]["status"], "Killed");
    assert_eq!(
        send(browser.request(Method::GET, &format!("/api/v1/queues/order/tasks/{id}")))
            .await
            .status,
        404,
        "it is in no other queue"
    );
    let all = browser.get("/api/v1/tasks?page=1").await;
    assert_eq!(
        all[0]["ctx"]["task_id"],
        json!(id),
        "dead letters come first"
    );
    let statistics = browser.get("/api/v1/queues/login/stats").await;
    let dead_letters = |row: &&Value| row["title"] == "KILLED_JOBS";
    let rows = statistics.as_array().unwrap();
    assert_eq!(rows.iter().find(dead_letters).unwrap()["value"], "1");

    // The live stream shows the retry.
    let mut live = browser
        .request(Method::GET, "/api/v1/events")
        .send()
        .await
        .unwrap();
    let retried = browser
        .press(Method::POST, &format!("/board/jobs/{id}/retry"))
        .await;
    assert_eq!(retried.status, 202, "{retried:?}");
    // The code is still invalid: the job runs and is dead again.
    eventually_eq(TIMEOUT, json!("Killed"), async || {
        browser
            .get(&format!("/api/v1/queues/login/tasks/{id}"))
            .await["ctx"]["status"]
            .clone()
    })
    .await;
    assert_eq!(game.exchanges().await, 2);
    let mut received = String::new();
    while !received.contains("login dead: WECHAT_MISCONFIGURED") {
        let chunk = tokio::time::timeout(TIMEOUT, live.chunk()).await;
        let chunk = chunk.expect("the event arrives in time").unwrap().unwrap();
        received.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(received.contains(&id), "{received}");
    let purged = browser
        .press(Method::DELETE, &format!("/board/jobs/{id}"))
        .await;
    assert_eq!(purged.status, 204, "{purged:?}");
    let dead = browser
        .get("/api/v1/queues/login/tasks?status=Killed&page=0")
        .await;
    assert_eq!(dead, json!([]));
}

#[tokio::test]
async fn board_requires_the_admin_token_and_creates_no_jobs() {
    let token = FleetSettings::ADMIN_TOKEN;
    let dev = Avalon::command("dev")
        .env("AVALON_ADMIN__TOKEN", token)
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    let get = |path: &str| game.client.get(format!("{}{path}", dev.ops));
    for path in [
        "/board",
        "/",
        "/queues/login",
        "/tasks",
        "/workers",
        "/api/v1/queues",
        "/api/v1/tasks",
    ] {
        let anonymous = send(get(path)).await;
        assert_eq!(
            (anonymous.status.as_u16(), anonymous.code()),
            (401, "UNAUTHENTICATED"),
            "{path}"
        );
        assert!(
            anonymous.header("www-authenticate").starts_with("Basic"),
            "so that a browser asks"
        );
        let wrong = send(get(path).basic_auth("operator", Some("x"))).await;
        assert_eq!(wrong.status, 401, "{path}");
        assert_eq!(
            send(get(path).bearer_auth(token)).await.status,
            200,
            "{path}"
        );
        let public = send(game.client.get(game.url(path)).bearer_auth(token)).await;
        // At its root `dev` serves the playground.
        let expected = if path == "/" { 200 } else { 404 };
        assert_eq!(public.status, expected, "never on the public port: {path}");
    }
    let page = get("/board").bearer_auth(token).send().await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.text().await.unwrap();
    // Everything that the page loads is served here.
    let assets = page.split(['"', '\'']).filter(|part| {
        part.starts_with('/')
            && [".js", ".css", ".wasm"]
                .iter()
                .any(|end| part.ends_with(end))
    });
    let assets: std::collections::BTreeSet<&str> = assets.collect();
    assert!(assets.len() >= 4, "{assets:?}");
    for asset in assets {
        let response = get(asset).send().await.unwrap();
        assert_eq!(response.status(), 200, "{asset}");
        assert!(response.bytes().await.unwrap().len() > 500, "{asset}");
    }

    let push = game
        .client
        .put(format!("{}/api/v1/queues/login/tasks", dev.ops))
        .bearer_auth(token)
        .json(&json!({"code": "sim-alice"}));
    let push = send(push).await;
    assert_eq!(
        (push.status.as_u16(), push.code()),
        (405, "METHOD_NOT_ALLOWED")
    );
    let id = "01JZ5N4V7W8X9YABCDEFGHJKMN";
    let forged = game
        .client
        .post(format!("{}/board/jobs/{id}/retry", dev.ops))
        .basic_auth("operator", Some(token));
    // As a form on another site would send it, with the browser's password.
    let forged = send(forged).await;
    assert_eq!((forged.status.as_u16(), forged.code()), (403, "FORBIDDEN"));
}

/// Starts a proxy that adds the operator's password, since Chromium does not apply credentials in a URL to the
/// page's own requests. The event stream ends at once, because the browser would wait for its end; everything
/// else, the content security policy included, is unchanged.
async fn authenticating_proxy(ops: String) -> String {
    let forward = async move |incoming: axum::extract::Request| {
        let url = format!("{ops}{}", incoming.uri());
        let request = client().request(incoming.method().clone(), url);
        let request = request.basic_auth("operator", Some(FleetSettings::ADMIN_TOKEN));
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = axum::body::Body::from_stream(response.bytes_stream());
        (status, headers, body)
    };
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let empty = axum::routing::get(async || reqwest::StatusCode::NO_CONTENT);
    let router = axum::Router::new()
        .route("/api/v1/events", empty)
        .fallback(forward);
    tokio::spawn(async move { axum::serve(socket, router).await.unwrap() });
    url
}

#[tokio::test]
async fn board_renders_all_queues_in_a_browser() {
    let dev = Avalon::command("dev")
        .env("AVALON_ADMIN__TOKEN", FleetSettings::ADMIN_TOKEN)
        .start()
        .await;
    let url = authenticating_proxy(dev.ops.clone()).await;
    let profile = tempfile::tempdir().unwrap();
    let shown = tokio::process::Command::new("chromium")
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=20000",
            "--enable-logging=stderr",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("{url}/board"))
        .kill_on_drop(true)
        .output();
    let shown = tokio::time::timeout(Duration::from_secs(60), shown).await;
    let shown = shown.expect("the browser exits").unwrap();
    let (page, log) = (
        String::from_utf8_lossy(&shown.stdout),
        String::from_utf8_lossy(&shown.stderr),
    );
    assert!(!log.contains("Content Security Policy"), "{log}");
    for queue in QUEUES {
        assert!(
            page.contains(queue.as_str()),
            "{queue} is not shown: {page}\n{log}"
        );
    }
}
