//! Malformed requests: a 4xx with a stable code; nothing reaches WeChat and nothing is a 500.

use avalon_test_support::Avalon;
use avalon_tests::{Game, send};
use serde_json::json;

#[tokio::test]
async fn malformed_sign_ins_never_reach_wechat() {
    let dev = Avalon::command("dev").start().await;
    let game = Game::of(&dev, &dev);
    let post = |body: &str| {
        let request = game.client.post(game.url("/api/wx/login"));
        request
            .header("content-type", "application/json")
            .body(body.to_owned())
    };
    let megabytes = format!("{{\"code\":\"{}\"}}", "a".repeat(10 * 1024 * 1024));
    let too_long = format!("{{\"code\":\"{}\"}}", "a".repeat(129));
    let nested = format!("{{\"code\":\"sim-a\",\"x\":{}", "[".repeat(30_000));
    let cases: &[(&str, u16, &str)] = &[
        ("", 400, "BODY_MISSING"),
        ("hello", 400, "BODY_NOT_JSON"),
        ("{\"code\":\"a\"", 400, "BODY_NOT_JSON"),
        ("{\"code\":\"a\"}}", 400, "BODY_NOT_JSON"),
        ("\u{feff}{\"code\":\"a\"}", 400, "BODY_NOT_JSON"),
        (&nested, 400, "BODY_NOT_JSON"),
        ("{}", 422, "FIELD_MISSING"),
        ("{\"Code\":\"a\"}", 422, "FIELD_MISSING"),
        ("[]", 422, "FIELD_INVALID"),
        ("null", 422, "FIELD_INVALID"),
        ("{\"code\":null}", 422, "FIELD_INVALID"),
        ("{\"code\":\"\"}", 422, "FIELD_INVALID"),
        ("{\"code\":5}", 422, "FIELD_INVALID"),
        ("{\"code\":[\"a\"]}", 422, "FIELD_INVALID"),
        ("{\"code\":\"a\\u0000b\"}", 422, "FIELD_INVALID"),
        ("{\"code\":\"a\\r\\nb\"}", 422, "FIELD_INVALID"),
        ("{\"code\":\"a b\"}", 422, "FIELD_INVALID"),
        ("{\"code\":\"\u{202e}x\"}", 422, "FIELD_INVALID"),
        (&too_long, 422, "FIELD_INVALID"),
        ("{\"code\":\"sim-a\",\"deviceId\":7}", 422, "FIELD_INVALID"),
        (
            "{\"code\":\"sim-a\",\"deviceId\":\"a\\u0007\"}",
            422,
            "FIELD_INVALID",
        ),
        ("{\"code\":\"sim-a\",\"scene\":-1}", 422, "FIELD_INVALID"),
        ("{\"code\":\"sim-a\",\"scene\":\"x\"}", 422, "FIELD_INVALID"),
        (&megabytes, 413, "BODY_TOO_LARGE"),
    ];
    for (body, status, code) in cases {
        let response = send(post(body)).await;
        assert_eq!(
            response.code(),
            *code,
            "{} -> {response:?}",
            &body[..body.len().min(60)]
        );
        response.assert_problem(*status, code);
    }
    // Chunked, so that the length is not announced.
    let chunks =
        futures_util::stream::iter((0..160).map(|_| Ok::<_, std::io::Error>(vec![b'a'; 65_536])));
    let chunked = post("").body(reqwest::Body::wrap_stream(chunks));
    send(chunked).await.assert_problem(413, "BODY_TOO_LARGE");

    let raw = game
        .client
        .post(game.url("/api/wx/login"))
        .body("{\"code\":\"sim-a\"}");
    send(raw)
        .await
        .assert_problem(415, "UNSUPPORTED_MEDIA_TYPE");
    let invalid_utf8 = post("").body(b"{\"code\":\"\xff\xfe\"}".to_vec());
    send(invalid_utf8)
        .await
        .assert_problem(400, "BODY_NOT_JSON");

    assert_eq!(game.exchanges().await, 0, "none of it reached WeChat");
    assert_eq!(
        game.login("sim-alice").await.status,
        200,
        "and the service still works"
    );
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_return_problems() {
    let dev = Avalon::command("dev").start().await;
    let game = Game::of(&dev, &dev);
    game.get("/api/jobs/01JZ5N4V7W8X9YABCDEFGHJKMN")
        .await
        .assert_problem(404, "JOB_NOT_FOUND");
    for invalid in [
        "x",
        "01jz5n4v7w8x9yabcdefghjkmn",
        "%ff",
        "%00",
        "..%2f..%2fetc",
        "'%20OR%201=1",
    ] {
        game.get(&format!("/api/jobs/{invalid}"))
            .await
            .assert_problem(404, "JOB_NOT_FOUND");
        game.get(&format!("/api/jobs/{invalid}/events"))
            .await
            .assert_problem(404, "JOB_NOT_FOUND");
    }
    game.get("/api/wx/nothing")
        .await
        .assert_problem(404, "NOT_FOUND");
    game.get("/admin/jobs")
        .await
        .assert_problem(404, "NOT_FOUND");
    game.get("/metrics").await.assert_problem(404, "NOT_FOUND");
    game.get("/api/wx/login")
        .await
        .assert_problem(405, "METHOD_NOT_ALLOWED");
    let delete = game.client.delete(game.url("/api/wx/login"));
    send(delete).await.assert_problem(405, "METHOD_NOT_ALLOWED");

    let job = game.login_preferring("sim-alice", "respond-async").await;
    let job = job.header("location");
    for invalid in ["soon", "-1", "1.5", "99999999999"] {
        game.get(&format!("{job}&wait={invalid}"))
            .await
            .assert_problem(400, "QUERY_INVALID");
    }
    for invalid in ["Bearer", "Bearer x", "Basic eDp5", "Bearer a.b.c"] {
        let request = game
            .client
            .get(game.url(job))
            .header("authorization", invalid);
        send(request).await.assert_problem(401, "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn safe_request_ids_are_echoed_and_unsafe_ones_replaced() {
    let dev = Avalon::command("dev").start().await;
    let game = Game::of(&dev, &dev);
    let with = |id: &str| {
        let request = game
            .client
            .post(game.url("/api/wx/login"))
            .header("x-request-id", id);
        send(request.json(&json!({})))
    };
    assert_eq!(with("game-42").await.body["requestId"], "game-42");
    let replaced = with("a\"} INFO forged").await;
    assert_ne!(replaced.body["requestId"], "a\"} INFO forged");
    assert!(!dev.log().contains("forged"));
}
