//! Signing in, on `avalon dev`: SQLite, embedded queue, simulator, all in one process.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use avalon_test_support::Avalon;
use avalon_tests::{Game, send};
use futures_util::future::join_all;
use serde_json::{Value, json};

async fn dev() -> (Avalon, Game) {
    let dev = Avalon::command("dev").start().await;
    let game = Game::of(&dev, &dev);
    (dev, game)
}

#[tokio::test]
async fn sign_in_returns_a_token_a_session_and_a_player() {
    let (_dev, game) = dev().await;
    let response = game.login("sim-alice").await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-type"), "application/json");
    assert_eq!(response.header("cache-control"), "no-store");

    let body = &response.body;
    assert_eq!(body["token"].as_str().unwrap().split('.').count(), 3);
    let two_hours = 2 * 60 * 60 * 1000;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let lives = body["expires"].as_i64().unwrap() - now;
    assert!(
        (two_hours - 5_000..=two_hours).contains(&lives),
        "{lives} ms"
    );
    assert!(body["refreshExpires"].as_i64().unwrap() > body["expires"].as_i64().unwrap());
    assert!(body["refreshToken"].as_str().unwrap().len() >= 43);
    assert_eq!(
        body["signingKey"].as_str().unwrap().len(),
        44,
        "base64 of 32 bytes"
    );

    let user = &body["userInfo"];
    assert_eq!(user["_id"].as_str().unwrap().len(), 26);
    assert_eq!(user["openId"].as_str().unwrap().len(), 28);
    for time in ["createdAt", "updatedAt", "lastLoginAt"] {
        assert!(
            user[time].as_str().unwrap().ends_with('Z'),
            "{time} is ISO 8601 in UTC"
        );
    }
    assert!(
        !response.body.to_string().contains("essionKey"),
        "the session key is never returned"
    );
}

#[tokio::test]
async fn returning_player_keeps_the_user_id() {
    let (_dev, game) = dev().await;
    let first = game.login(&game.mint_code("carol").await).await.body;
    let second = game.login(&game.mint_code("carol").await).await.body;
    assert_eq!(first["userInfo"]["_id"], second["userInfo"]["_id"]);
    assert_eq!(
        first["userInfo"]["createdAt"],
        second["userInfo"]["createdAt"]
    );
    assert_ne!(
        first["refreshToken"], second["refreshToken"],
        "but a new session"
    );
    let other = game.login("sim-dave").await.body;
    assert_ne!(first["userInfo"]["_id"], other["userInfo"]["_id"]);
}

#[tokio::test]
async fn same_code_within_a_minute_is_exchanged_once() {
    let (_dev, game) = dev().await;
    let code = game.mint_code("erin").await;
    // Concurrently, and once more when the first is done.
    let mut responses = join_all((0..8).map(|_| game.login(&code))).await;
    responses.push(game.login(&code).await);
    for response in &responses {
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.body, responses[0].body);
    }
    assert_eq!(game.exchanges().await, 1);
}

#[tokio::test]
async fn concurrent_sign_ins_of_one_player_create_one_user() {
    let (_dev, game) = dev().await;
    let codes = join_all((0..10).map(|_| game.mint_code("frank"))).await;
    let responses = join_all(codes.iter().map(|code| game.login(code))).await;
    for response in &responses {
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(
            response.body["userInfo"]["_id"],
            responses[0].body["userInfo"]["_id"]
        );
    }
}

#[tokio::test]
async fn polling_long_polling_and_streaming_return_the_same_result() {
    let (_dev, game) = dev().await;
    let accepted = game
        .login_preferring("sim-slow-400-grace", "respond-async")
        .await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    assert_eq!(accepted.header("preference-applied"), "respond-async");
    assert_eq!(accepted.header("retry-after"), "1");
    let id = accepted.body["jobId"].as_str().unwrap().to_owned();
    let address = accepted.header("location").to_owned();
    let (path, key) = address.split_once('?').unwrap();
    assert_eq!(path, format!("/api/jobs/{id}"));

    let polled = game.get(&address).await.body;
    assert!(
        matches!(polled["status"].as_str(), Some("queued" | "running")),
        "{polled}"
    );
    assert_eq!(
        (polled["jobId"].as_str(), polled["kind"].as_str()),
        (Some(&*id), Some("login"))
    );
    let created_at = polled["createdAt"].as_str().unwrap();
    assert_eq!(created_at.len(), "2026-01-01T00:00:00.000Z".len());

    let streamed = async {
        let text = send_text(&game, &format!("{path}/events?{key}")).await;
        let last = text
            .lines()
            .rfind(|line| line.starts_with("data: "))
            .unwrap()
            .to_owned();
        serde_json::from_str::<Value>(last.strip_prefix("data: ").unwrap()).unwrap()
    };
    let (waited, streamed) = tokio::join!(game.job(&address), streamed);
    assert_eq!(waited["status"], "succeeded");
    assert!(waited["finishedAt"].is_string());
    assert_eq!(waited, streamed);
    assert_eq!(waited, game.get(&address).await.body);
    // It equals the body of a 200.
    assert_eq!(
        waited["result"],
        game.login("sim-slow-400-grace").await.body
    );
}

#[tokio::test]
async fn event_source_stops_after_the_final_event() {
    let (_dev, game) = dev().await;
    let job = game
        .login_preferring("sim-slow-200-judy", "respond-async")
        .await;
    let url = game.url(&job.header("location").replacen('?', "/events?", 1));
    let first = game.client.get(&url).send().await.unwrap();
    assert_eq!(first.headers()["x-accel-buffering"], "no");
    let text = first.text().await.unwrap();
    let ids: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("id:"))
        .map(str::trim)
        .collect();
    assert_eq!(ids.len(), text.matches("data:").count(), "{text}");
    // What an `EventSource` does when a stream has ended.
    let reconnect = |id: &str| game.client.get(&url).header("last-event-id", id).send();
    let last = reconnect(ids.last().unwrap()).await.unwrap();
    assert_eq!(last.status(), 204);
    let missed = reconnect(ids[0]).await.unwrap();
    assert_eq!(missed.status(), if ids.len() > 1 { 200 } else { 204 });
}

async fn send_text(game: &Game, path: &str) -> String {
    let response = game.client.get(game.url(path)).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.text().await.unwrap()
}

#[tokio::test]
async fn stream_starts_with_the_current_state_and_allows_shutdown() {
    let (mut dev, game) = dev().await;
    // The job waits many seconds for its second attempt.
    let job = game.login_preferring("sim-error-45011", "wait=1").await;
    let path = job.header("location").replace('?', "/events?");
    let mut stream = game.client.get(game.url(&path)).send().await.unwrap();
    let first = tokio::time::timeout(Duration::from_secs(2), stream.chunk()).await;
    let first = first.expect("at once").unwrap().unwrap();
    assert!(
        String::from_utf8_lossy(&first).contains("\"status\":\"retrying\""),
        "{first:?}"
    );

    let terminated = std::time::Instant::now();
    dev.terminate();
    assert!(dev.wait_exit().await.success());
    assert!(
        terminated.elapsed() < Duration::from_secs(8),
        "{:?}",
        terminated.elapsed()
    );
}

#[tokio::test]
async fn client_chooses_how_long_to_wait() {
    let (_dev, game) = dev().await;
    let started = std::time::Instant::now();
    let response = game.login_preferring("sim-slow-3000-heidi", "wait=1").await;
    assert_eq!(
        (
            response.status.as_u16(),
            response.header("preference-applied")
        ),
        (202, "wait=1")
    );
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(950) && waited < Duration::from_millis(2500));
    let job = game.job(response.header("location")).await;
    assert_eq!(job["status"], "succeeded");
}

#[tokio::test]
async fn wechat_errors_are_returned_as_problems() {
    let (dev, game) = dev().await;
    game.login("sim-error-40029")
        .await
        .assert_problem(401, "SIGN_IN_AGAIN");
    game.login("sim-error-40163")
        .await
        .assert_problem(401, "SIGN_IN_AGAIN");
    game.login("never-minted")
        .await
        .assert_problem(401, "SIGN_IN_AGAIN");
    game.login("sim-error-40226")
        .await
        .assert_problem(403, "USER_BLOCKED");
    dev.allow_dead("login");
    game.login("sim-error-40125")
        .await
        .assert_problem(503, "WECHAT_MISCONFIGURED");
    // The polled job reports the same problem.
    let accepted = game
        .login_preferring("sim-error-40013", "respond-async")
        .await;
    let job = game.job(accepted.header("location")).await;
    assert_eq!(
        (&job["status"], &job["attempts"]),
        (&"failed".into(), &1.into())
    );
    assert_eq!(job["error"]["code"], "WECHAT_MISCONFIGURED");
    assert_eq!(job["error"]["status"], 503);
}

#[tokio::test]
async fn code_spent_by_a_lost_response_requires_a_new_sign_in() {
    let (_dev, game) = dev().await;
    let response = game.login_preferring("sim-reset-judy-1", "wait=20").await;
    response.assert_problem(401, "SIGN_IN_AGAIN");
    assert!(game.exchanges().await >= 2, "it was retried");
}

#[tokio::test]
async fn transient_wechat_faults_are_hidden_from_players() {
    let (_dev, game) = dev().await;
    let response = game.login_preferring("sim-flaky-2-kim", "wait=20").await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(game.exchanges().await, 3);
}

#[tokio::test]
async fn data_persists_across_restarts() {
    let mut dev = Avalon::command("dev").start().await;
    let game = Game::of(&dev, &dev);
    let before = game.login("sim-alice").await.body;
    dev.terminate();
    assert!(dev.wait_exit().await.success());
    dev.restart().await;
    let game = Game::of(&dev, &dev);
    let after = game.login("sim-alice").await.body;
    assert_eq!(before["userInfo"]["_id"], after["userInfo"]["_id"]);
}

#[tokio::test]
async fn session_key_is_encrypted_at_rest_and_codes_are_not_logged() {
    let (dev, game) = dev().await;
    let response = game.login("sim-once-mallory-77").await;
    let open_id = response.body["userInfo"]["openId"].as_str().unwrap();
    let player = format!("{}/_sim/players/{open_id}", dev.simulator);
    let session_key = send(game.client.get(player)).await.body["sessionKey"].clone();
    let session_key = session_key.as_str().unwrap();
    for file in std::fs::read_dir(dev.folder().join("data")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let found = bytes
            .windows(session_key.len())
            .any(|window| window == session_key.as_bytes());
        assert!(!found, "the session key is in a file");
    }
    let data = std::fs::metadata(dev.folder().join("data"))
        .unwrap()
        .permissions();
    assert_eq!(
        data.mode() & 0o777,
        0o700,
        "only the owner can read the data"
    );
    let log = dev.log();
    for secret in [
        session_key,
        "mallory-77",
        response.body["token"].as_str().unwrap(),
    ] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
}

#[tokio::test]
async fn token_is_verified_by_the_published_key() {
    let (_dev, game) = dev().await;
    let keys = game.get("/.well-known/jwks.json").await.body;
    assert_eq!(keys["keys"][0]["alg"], "EdDSA");
    assert!(keys["keys"][0].get("d").is_none(), "public halves only");
    let token = game.login("sim-alice").await.body["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let job = game.login_preferring("sim-bob", "respond-async").await;
    let job = job.header("location");
    let with = |token: String| game.client.get(game.url(job)).bearer_auth(token);
    assert_eq!(send(with(token.clone())).await.status, 200);
    let mut forged = token.into_bytes();
    let middle = forged.len() / 2;
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    send(with(String::from_utf8(forged).unwrap()))
        .await
        .assert_problem(401, "UNAUTHENTICATED");
}

#[tokio::test]
async fn api_serves_its_own_documentation() {
    let (_dev, game) = dev().await;
    let document = game.get("/openapi.json").await.body;
    for path in [
        "/api/wx/login",
        "/api/jobs/{jobId}",
        "/api/jobs/{jobId}/events",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    let page = game.client.get(game.url("/docs/")).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("swagger-ui"));
    assert_eq!(
        json!(document["openapi"].as_str().unwrap().starts_with("3.")),
        json!(true)
    );
}
