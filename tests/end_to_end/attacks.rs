//! Attacks, end to end. `docs/security.md` lists these together with the attacks whose tests are beside
//! the code that they concern.

use std::time::Duration;

use avalon_test_support::Avalon;
use avalon_tests::sessions::{dev, dev_with, sign_in};
use avalon_tests::{ApiResponse, Game, send};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

async fn inventory_with(game: &Game, token: &str) -> ApiResponse {
    let request = game.client.get(game.url("/api/wx/inventory"));
    send(request.bearer_auth(token)).await
}

#[tokio::test]
async fn forged_or_modified_tokens_are_rejected() {
    let (_dev, game) = dev().await;
    let session = sign_in(&game, "alice", "phone", "ios").await;
    let token = session["token"].as_str().unwrap();
    assert_eq!(inventory_with(&game, token).await.status, 200);
    let jwk = game.get("/.well-known/jwks.json").await.body["keys"][0].clone();
    let (kid, public) = (&jwk["kid"], jwk["x"].as_str().unwrap());
    let public = URL_SAFE_NO_PAD.decode(public).unwrap();

    let claims = token.split('.').nth(1).unwrap();
    let decoded = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let mut later: Value = serde_json::from_slice(&decoded).unwrap();
    later["exp"] = json!(later["exp"].as_i64().unwrap() + 1_000_000);
    let with = |header: Value, claims: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let message = format!("{}.{claims}", part(&header));
        let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
        format!("{message}.{signature}")
    };
    let nothing = |_: &[u8]| Vec::new();
    let by_public_key = |message: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &public);
        hmac::sign(&key, message).as_ref().to_vec()
    };
    let mine = Ed25519KeyPair::generate().unwrap();
    assert_ne!(mine.public_key().as_ref(), public);
    let by_my_key = |message: &[u8]| mine.sign(message).as_ref().to_vec();
    let original = |_: &[u8]| {
        let signature = token.split('.').nth(2).unwrap();
        URL_SAFE_NO_PAD.decode(signature).unwrap()
    };
    let eddsa = json!({"typ": "JWT", "alg": "EdDSA", "kid": kid});
    let embedded = json!({"typ": "JWT", "alg": "EdDSA", "kid": kid, "jwk": {
        "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(mine.public_key().as_ref()),
    }});
    for (what, forged) in [
        (
            "no algorithm",
            with(json!({"alg": "none", "kid": kid}), claims, &nothing),
        ),
        (
            "NONE",
            with(json!({"alg": "NONE", "kid": kid}), claims, &nothing),
        ),
        (
            "the public key as a secret",
            with(json!({"alg": "HS256", "kid": kid}), claims, &by_public_key),
        ),
        ("another key", with(eddsa.clone(), claims, &by_my_key)),
        ("an embedded key", with(embedded, claims, &by_my_key)),
        (
            "an unknown key",
            with(
                json!({"alg": "EdDSA", "kid": "../../etc"}),
                claims,
                &by_my_key,
            ),
        ),
        ("no key", with(json!({"alg": "EdDSA"}), claims, &by_my_key)),
        ("a later expiry", with(eddsa, &part(&later), &original)),
        ("no signature", token.rsplit_once('.').unwrap().0.to_owned()),
        (
            "the refresh token",
            session["refreshToken"].as_str().unwrap().to_owned(),
        ),
        ("the session's id", "01JZ5N4V7W8X9YABCDEFGHJKMN".to_owned()),
    ] {
        let response = inventory_with(&game, &forged).await;
        assert_eq!(
            (response.status.as_u16(), response.code()),
            (401, "UNAUTHENTICATED"),
            "{what}"
        );
        assert_eq!(response.header("www-authenticate"), "Bearer");
    }
}

#[tokio::test]
async fn orders_and_jobs_of_others_look_nonexistent() {
    let (_dev, game) = dev().await;
    let (alice, bob) = (game.player("alice").await, game.player("bob").await);
    let created = alice.order("gems-60", 1, "k-1").await;
    let order = created.body["orderId"].as_str().unwrap().to_owned();
    let request = game
        .client
        .post(game.url("/api/wx/createOrder"))
        .bearer_auth(&alice.token);
    let request = request
        .header("idempotency-key", "k-2")
        .header("prefer", "respond-async");
    let job = send(request.json(&json!({"productId": "gems-60", "quantity": 1}))).await;
    let job = job.body["jobId"].as_str().unwrap().to_owned();
    assert_eq!(alice.get(&format!("/api/jobs/{job}")).await.status, 200);

    let no_order = "01JZ5N4V7W8X9YABCDEFGHJKMN";
    for id in [order.as_str(), no_order] {
        let path = format!("/api/wx/getOrder/{id}");
        bob.get(&path).await.assert_problem(404, "ORDER_NOT_FOUND");
        let path = format!("/api/wx/cancelOrder/{id}");
        bob.post(&path, "k", json!({}))
            .await
            .assert_problem(404, "ORDER_NOT_FOUND");
    }
    assert_eq!(
        alice.status(&order).await,
        "pending",
        "bob has not cancelled it"
    );
    let listed = bob.get("/api/wx/orders").await.body;
    assert_eq!(listed["orders"], json!([]));

    // A guessed id of an existing job reveals no more than one of a missing job.
    for id in [job.as_str(), no_order, "x", "%27%20OR%201=1"] {
        for path in [format!("/api/jobs/{id}"), format!("/api/jobs/{id}/events")] {
            bob.get(&path).await.assert_problem(404, "JOB_NOT_FOUND");
            game.get(&path).await.assert_problem(404, "JOB_NOT_FOUND");
        }
    }
}

#[tokio::test]
async fn sql_injection_has_no_effect() {
    let (dev, game) = dev().await;
    let alice = game.player("alice").await;
    let injection = "x'); DROP TABLE users; --";
    let escaped = "x%27%29%3B%20DROP%20TABLE%20users%3B%20--";
    let body = json!({"code": game.mint_code("bob").await, "deviceId": injection, "deviceType": injection});
    let login = send(game.client.post(game.url("/api/wx/login")).json(&body)).await;
    assert_eq!(login.status, 200, "{login:?}");
    let response = alice.order(injection, 1, "k-1").await;
    response.assert_problem(422, "FIELD_INVALID");
    let response = alice.get(&format!("/api/wx/getOrder/{escaped}")).await;
    response.assert_problem(404, "ORDER_NOT_FOUND");
    let response = alice.get(&format!("/api/wx/orders?cursor={escaped}")).await;
    assert_eq!(response.status.as_u16(), 400, "{response:?}");
    let response = alice.get(&format!("/api/wx/orders?status={escaped}")).await;
    assert_eq!(response.status.as_u16(), 400, "{response:?}");
    let token = admin_token(&dev);
    for path in [
        format!("/admin/users/{escaped}"),
        format!("/internal/users/{escaped}"),
        format!("/admin/orders?openId={escaped}"),
    ] {
        let url = format!("{}{path}", dev.ops);
        let response = send(game.client.get(url).bearer_auth(&token)).await;
        assert!(
            matches!(response.status.as_u16(), 200 | 404),
            "{path}: {response:?}"
        );
    }
    assert_eq!(alice.get("/api/wx/inventory").await.status, 200);
    assert_eq!(
        game.login(&game.mint_code("carol").await).await.status,
        200,
        "the table still exists"
    );
}

#[tokio::test]
async fn client_input_cannot_forge_log_lines() {
    let (dev, game) = dev_with(&[
        ("AVALON_LOG__FORMAT", "json"),
        ("AVALON_LOG__LEVEL", "debug"),
    ])
    .await;
    let banner = non_json_lines(&dev.log());
    let forged = r#"{"level":"ERROR","fields":{"message":"forged"}}"#;
    for (id, device) in [
        (forged, "d"),
        ("a", forged),
        ("a", "d\n{\"level\":\"ERROR\"}"),
    ] {
        let body = json!({"code": "sim-alice", "deviceId": device, "inviteCode": forged});
        let request = game
            .client
            .post(game.url("/api/wx/login"))
            .header("x-request-id", id);
        let status = send(request.json(&body)).await.status.as_u16();
        assert!(matches!(status, 200 | 422), "{status}");
    }
    game.get("/api/%0a%7B%22forged%22%3A1%7D?x=%0a%0d")
        .await
        .assert_problem(404, "NOT_FOUND");
    inventory_with(&game, "a.b\u{85}c")
        .await
        .assert_problem(401, "UNAUTHENTICATED");
    let (log, banner_after) = (dev.log(), non_json_lines(&dev.log()));
    assert_eq!(banner_after, banner, "a line was broken in two");
    assert!(log.lines().count() > banner.len() + 10, "{log}");
    for line in log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
    {
        assert_ne!(line["fields"]["message"], "forged");
    }
}

/// Returns the lines that are not JSON: the banner of `avalon dev`.
fn non_json_lines(log: &str) -> Vec<String> {
    let lines = log
        .lines()
        .filter(|line| serde_json::from_str::<Value>(line).is_err());
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn admin_routes_are_absent_from_the_public_port() {
    let (dev, game) = dev().await;
    let token = admin_token(&dev);
    for path in [
        "/admin/products",
        "/admin/orders",
        "/admin/users/x",
        "/admin/jobs",
        "/admin/../admin/jobs",
        "//admin/jobs",
        "/internal/introspect",
        "/internal/users/x",
        "/metrics",
        "/healthz",
        "/readyz",
        "/board",
        "/_sim/state",
    ] {
        let request = game.client.get(game.url(path)).bearer_auth(&token);
        let response = send(request).await;
        assert!(
            matches!(response.status.as_u16(), 404),
            "{path}: {response:?}"
        );
    }
}

#[tokio::test]
async fn near_miss_admin_tokens_are_rejected() {
    let (dev, game) = dev().await;
    let token = admin_token(&dev);
    let jobs = async |authorization: String| {
        let request = game.client.get(format!("{}/admin/jobs", dev.ops));
        send(request.header("authorization", authorization))
            .await
            .status
            .as_u16()
    };
    assert_eq!(jobs(format!("Bearer {token}")).await, 200);
    let upper = token.to_uppercase();
    for wrong in [
        format!("Bearer {}", &token[1..]),
        format!("Bearer {}", &token[..token.len() - 1]),
        format!("Bearer {token}x"),
        format!("Bearer {}", if upper == token { "x" } else { &upper }),
        format!("Basic {token}"),
        token.clone(),
        "Bearer ".to_owned(),
        String::new(),
    ] {
        assert_eq!(jobs(wrong.clone()).await, 401, "{wrong}");
    }
}

/// Sends raw bytes and returns the response.
async fn raw(game: &Game, request: &str) -> String {
    let address = game.url("").replace("http://", "");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = Vec::new();
    let read = stream.read_to_end(&mut response);
    let _ = tokio::time::timeout(Duration::from_secs(2), read).await;
    String::from_utf8_lossy(&response).into_owned()
}

#[tokio::test]
async fn conflicting_headers_are_not_trusted() {
    let (_dev, game) = dev().await;
    let alice = game.player("alice").await;
    // Two lengths, or a length and chunks: no second request may be smuggled in the first one's body.
    let body = r#"{"code":"sim-bob"}"#;
    let (length, chunks) = (
        body.len(),
        format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
    );
    let hidden = "GET /api/wx/products HTTP/1.1\r\nhost: x\r\n\r\n";
    let send_raw = async |lengths: String, body: &str| {
        let head = "POST /api/wx/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
        raw(&game, &format!("{head}{lengths}\r\n{body}{hidden}")).await
    };
    for lengths in [
        format!(
            "content-length: {length}\r\ncontent-length: {}\r\n",
            length + 1
        ),
        format!("transfer-encoding: identity\r\ncontent-length: {length}\r\n"),
        format!("content-length: +{length}\r\n"),
    ] {
        let response = send_raw(lengths.clone(), body).await;
        assert!(
            response.starts_with("HTTP/1.1 400"),
            "{lengths}: {response}"
        );
        assert!(!response.contains("\"products\""), "{lengths}: {response}");
    }
    // A length beside chunks is ignored, and the connection closes after that request.
    let both = "content-length: 4\r\ntransfer-encoding: chunked\r\n".to_owned();
    let response = send_raw(both, &chunks).await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert_eq!(response.matches("HTTP/1.1 ").count(), 1, "{response}");
    assert!(!response.contains("\"products\""), "{response}");
    // Two tokens: a proxy may have checked the other one.
    let request = game
        .client
        .get(game.url("/api/wx/inventory"))
        .bearer_auth(&alice.token);
    let two = send(request.header("authorization", "Bearer x")).await;
    two.assert_problem(401, "UNAUTHENTICATED");
    // Method and path overrides are ignored.
    let request = game
        .client
        .get(game.url("/api/wx/inventory"))
        .bearer_auth(&alice.token);
    let request = request
        .header("x-http-method-override", "DELETE")
        .header("x-original-url", "/admin/jobs")
        .header("x-rewrite-url", "/admin/jobs");
    assert!(send(request).await.body["items"].is_array());
    let twice = game
        .client
        .post(game.url("/api/wx/consume"))
        .bearer_auth(&alice.token);
    let twice = twice
        .header("idempotency-key", "a")
        .header("idempotency-key", "b");
    let twice = send(twice.json(&json!({"productId": "gems-60", "quantity": 1}))).await;
    twice.assert_problem(400, "HEADER_INVALID");
}

fn admin_token(dev: &Avalon) -> String {
    let keys = std::fs::read_to_string(dev.folder().join("data/dev-keys.toml")).unwrap();
    let line = keys
        .lines()
        .find_map(|line| line.strip_prefix("admin_token = \""));
    line.unwrap().trim_end_matches('"').to_owned()
}
