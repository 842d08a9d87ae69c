//! Signed requests and rate limits as clients meet them.

use avalon_api::request_signature::{SignatureVersion, SignedRequest, sign};
use avalon_test_support::{FleetSettings, TestDatabase, shared_redis_url, unique_prefix};
use avalon_tests::sessions::{dev, dev_with, get, inventory, refresh, sign_in, two_apis};
use avalon_tests::{Game, send};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

/// A request signed as the SDK signs it.
struct Signed<'a> {
    game: &'a Game,
    session: &'a Value,
    timestamp: String,
    nonce: String,
}

impl<'a> Signed<'a> {
    fn new(game: &'a Game, session: &'a Value, nonce: &str) -> Self {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        Self {
            game,
            session,
            timestamp: now.to_string(),
            nonce: nonce.to_owned(),
        }
    }

    /// Signs for `signed` and sends to `path` with `body`.
    fn request(&self, signed: (&str, &str, &str), path: &str, body: &str) -> RequestBuilder {
        let key = STANDARD
            .decode(self.session["signingKey"].as_str().unwrap())
            .unwrap();
        let (method, path_and_query, signed_body) = signed;
        let request = SignedRequest {
            method,
            path_and_query,
            idempotency_key: "use-1",
            body: signed_body.as_bytes(),
        };
        let signature = sign(
            SignatureVersion::V2,
            &key,
            request,
            &self.timestamp,
            &self.nonce,
        );
        let token = self.session["token"].as_str().unwrap();
        let request = match body {
            "" => self.game.client.get(self.game.url(path)),
            _ => self
                .game
                .client
                .post(self.game.url(path))
                .body(body.to_owned()),
        };
        request
            .bearer_auth(token)
            .header("content-type", "application/json")
            .header("idempotency-key", "use-1")
            .header("x-avalon-timestamp", &self.timestamp)
            .header("x-avalon-nonce", &self.nonce)
            .header("x-avalon-signature", signature)
    }
}

#[tokio::test]
async fn signature_must_be_valid_fresh_and_unused() {
    let (_dev, game) = dev().await;
    let session = sign_in(&game, "alice", "phone", "ios").await;
    let path = "/api/wx/orders?limit=2";
    let read = ("GET", path, "");
    let signed = |nonce: &str| Signed::new(&game, &session, nonce);
    assert_eq!(
        send(signed("n-1").request(read, path, "")).await.status,
        200
    );
    let replayed = send(signed("n-1").request(read, path, "")).await;
    replayed.assert_problem(401, "NONCE_REUSED");

    let other_query = signed("n-2").request(read, "/api/wx/orders?limit=3", "");
    send(other_query)
        .await
        .assert_problem(401, "SIGNATURE_INVALID");
    // A rejected request does not consume its nonce.
    assert_eq!(
        send(signed("n-2").request(read, path, "")).await.status,
        200
    );

    let consume = "/api/wx/consume";
    let body = r#"{"productId":"gems-60","quantity":1}"#;
    let post = ("POST", consume, body);
    let right = send(signed("n-3").request(post, consume, body)).await;
    right.assert_problem(409, "NOT_ENOUGH_ITEMS");
    let other_body = body.replace('1', "2");
    let tampered = send(signed("n-4").request(post, consume, &other_body)).await;
    tampered.assert_problem(401, "SIGNATURE_INVALID");

    let mut stale = signed("n-5");
    stale.timestamp = (stale.timestamp.parse::<i64>().unwrap() - 301).to_string();
    send(stale.request(read, path, ""))
        .await
        .assert_problem(401, "SIGNATURE_STALE");
    let twice = signed("n-6")
        .request(read, path, "")
        .header("x-avalon-nonce", "n-7");
    send(twice).await.assert_problem(401, "SIGNATURE_INVALID");
    // The token of another session.
    let bob = sign_in(&game, "bob", "phone", "ios").await;
    let mut theirs = session.clone();
    theirs["token"] = bob["token"].clone();
    let foreign = Signed::new(&game, &theirs, "n-8").request(read, path, "");
    send(foreign).await.assert_problem(401, "SIGNATURE_INVALID");
    assert_eq!(
        send(get(&game, &session, path)).await.status,
        200,
        "signatures are optional"
    );
}

#[tokio::test]
async fn required_signatures_apply_to_all_requests_with_a_token() {
    let (_dev, game) = dev_with(&[("AVALON_AUTH__SIGNATURES", "required")]).await;
    let session = sign_in(&game, "alice", "phone", "ios").await;
    inventory(&game, &session)
        .await
        .assert_problem(401, "SIGNATURE_REQUIRED");
    let path = "/api/wx/inventory";
    let signed = Signed::new(&game, &session, "n-1").request(("GET", path, ""), path, "");
    assert_eq!(send(signed).await.status, 200);
    assert_eq!(game.get("/api/wx/products").await.status, 200);
    assert_eq!(refresh(&game, &session).await.status, 200);
}

#[tokio::test]
async fn nonce_used_at_one_api_is_rejected_by_the_other() {
    let (_database, _fleet, [one, other]) = two_apis().await;
    let session = sign_in(&one, "alice", "phone", "ios").await;
    let path = "/api/wx/inventory";
    let signed = |game| Signed::new(game, &session, "n-1").request(("GET", path, ""), path, "");
    assert_eq!(send(signed(&one)).await.status, 200);
    send(signed(&other))
        .await
        .assert_problem(401, "NONCE_REUSED");
}

#[tokio::test]
async fn rate_limit_rejects_the_offender_and_nobody_else() {
    let env = [
        ("AVALON_LIMITS__ENABLED", "true"),
        ("AVALON_LIMITS__PER_PLAYER", "5/1m"),
        ("AVALON_LIMITS__PER_ROUTE", "3/1m"),
        ("AVALON_LIMITS__SIGN_IN_PER_DEVICE", "2/1m"),
    ];
    let (_dev, game) = dev_with(&env).await;
    let alice = sign_in(&game, "alice", "phone", "ios").await;
    let bob = sign_in(&game, "bob", "phone", "ios").await;
    let code = game.mint_code("carol").await;
    let body = json!({"code": code, "deviceId": "phone"});
    let third = send(game.client.post(game.url("/api/wx/login")).json(&body)).await;
    third.assert_problem(429, "RATE_LIMITED");

    for left in (0..3).rev() {
        let response = inventory(&game, &alice).await;
        assert_eq!(response.status, 200, "{response:?}");
        assert!(
            response
                .header("ratelimit-policy")
                .contains("\"route\";q=3;w=60"),
            "{response:?}"
        );
        let ratelimit = response.header("ratelimit");
        assert!(
            ratelimit.starts_with(&format!("\"route\";r={left};t=")),
            "{ratelimit}"
        );
    }
    let limited = inventory(&game, &alice).await;
    limited.assert_problem(429, "RATE_LIMITED");
    let wait: u64 = limited.header("retry-after").parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    // Another route, until the player's total limit is exceeded.
    let orders = async || {
        send(get(&game, &alice, "/api/wx/orders"))
            .await
            .status
            .as_u16()
    };
    assert_eq!([orders().await, orders().await], [200, 429]);
    assert_eq!(inventory(&game, &bob).await.status, 200);
}

#[tokio::test]
async fn forged_forwarding_header_does_not_evade_limits() {
    let limit = [
        ("AVALON_LIMITS__ENABLED", "true"),
        ("AVALON_LIMITS__PER_ADDRESS", "3/1m"),
    ];
    let (_dev, game) = dev_with(&limit).await;
    let from = async |game: &Game, address: String| {
        let request = game.client.get(game.url("/api/wx/products"));
        send(request.header("x-forwarded-for", address))
            .await
            .status
            .as_u16()
    };
    let mut statuses = Vec::new();
    for n in 0..5 {
        statuses.push(from(&game, format!("192.0.2.{n}")).await);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 429]);

    let trusted = [
        limit[0],
        limit[1],
        ("AVALON_HTTP__TRUSTED_PROXIES", "127.0.0.0/8"),
    ];
    let (_dev, game) = dev_with(&trusted).await;
    for n in 0..5 {
        assert_eq!(from(&game, format!("192.0.2.{n}")).await, 200);
        let spoofed = from(&game, format!("192.0.2.{}, 198.51.100.7", n + 10)).await;
        assert_eq!(spoofed, if n < 3 { 200 } else { 429 });
    }
}

#[tokio::test]
async fn limits_are_shared_by_all_apis() {
    let database = TestDatabase::postgres().await;
    let fleet = FleetSettings::new(database.url(), &shared_redis_url().await)
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix())
        .env("AVALON_LIMITS__ENABLED", "true")
        .env("AVALON_LIMITS__PER_ROUTE", "4/1m")
        .start(2, 1)
        .await;
    let games = [0, 1].map(|n| Game::of(&fleet.apis[n], &fleet.simulator));
    let session = sign_in(&games[0], "alice", "phone", "ios").await;
    let mut statuses = Vec::new();
    for n in 0..6 {
        statuses.push(inventory(&games[n % 2], &session).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429]);
}

#[tokio::test]
async fn ended_sessions_do_not_consume_rate_limits() {
    let env = [
        ("AVALON_LIMITS__ENABLED", "true"),
        ("AVALON_LIMITS__PER_PLAYER", "5/1m"),
    ];
    let (_dev, game) = dev_with(&env).await;
    let old = sign_in(&game, "alice", "phone", "ios").await;
    let new = sign_in(&game, "alice", "pc", "pc").await;
    for _ in 0..20 {
        inventory(&game, &old)
            .await
            .assert_problem(401, "SESSION_REPLACED");
    }
    assert_eq!(inventory(&game, &new).await.status, 200);
}
