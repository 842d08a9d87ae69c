//! What answers say to browsers: security headers everywhere, and other sites' pages shut out unless
//! they are let in.

use avalon_test_support::{Avalon, FleetSettings};
use avalon_tests::{Answer, Game, send};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

const FRIEND: &str = "https://game.example.com";
const STRANGER: &str = "https://evil.example.com";

fn assert_secured(answer: &Answer, what: &str) {
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(answer.header("referrer-policy"), "no-referrer", "{what}");
    let resource_policy = answer.header("cross-origin-resource-policy");
    assert_eq!(resource_policy, "same-origin", "{what}");
    let policies = answer.headers.get_all("content-security-policy").iter();
    assert_eq!(policies.count(), 1, "{what}");
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'"), "{what}: {policy}");
    assert!(
        policy.contains("frame-ancestors 'none'"),
        "{what}: {policy}"
    );
}

#[tokio::test]
async fn every_response_of_both_listeners_has_security_headers() {
    let dev = Avalon::command("dev")
        .env("AVALON_ADMIN__TOKEN", FleetSettings::ADMIN_TOKEN)
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    let public = |method: Method, path: &str| game.client.request(method, game.url(path));
    let ops = |path: &str| game.client.get(format!("{}{path}", dev.ops));
    let (get, post) = (Method::GET, Method::POST);
    let login = public(post.clone(), "/api/wx/login").json(&json!({"code": "sim-alice"}));
    let large = public(post.clone(), "/api/wx/login").body("x".repeat(100_000));
    let asked: Vec<(&str, RequestBuilder, u16)> = vec![
        ("an answer", login, 200),
        ("a refused body", large, 413),
        ("no token", public(get.clone(), "/api/wx/orders"), 401),
        ("no such path", public(get.clone(), "/nothing"), 404),
        ("no such method", public(Method::PUT, "/api/wx/login"), 405),
        ("a callback", public(post, "/api/wx/pay/notify"), 401),
        ("the document", public(get.clone(), "/openapi.json"), 200),
        ("keys", public(get.clone(), "/.well-known/jwks.json"), 200),
        ("the manual", public(get, "/docs/"), 200),
        ("health", ops("/healthz"), 200),
        ("metrics", ops("/metrics"), 200),
        ("a closed route", ops("/admin/jobs"), 401),
        ("nothing for operators", ops("/nothing"), 404),
        (
            "an open route",
            ops("/admin/jobs").bearer_auth(FleetSettings::ADMIN_TOKEN),
            200,
        ),
    ];
    for (what, request, status) in asked {
        let answer = send(request).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_secured(&answer, what);
        let hsts = answer.headers.get("strict-transport-security");
        assert!(hsts.is_none(), "{what}: nothing here is https");
    }
    let manual = send(game.client.get(game.url("/docs/"))).await;
    let policy = manual.header("content-security-policy");
    assert!(policy.contains("script-src 'self';"), "{policy}");
}

/// What a browser asks before it lets a page send a request that is signed and has a token.
async fn preflight(game: &Game, url: &str, origin: &str) -> Answer {
    let request = game.client.request(Method::OPTIONS, url);
    let wanted = "authorization,content-type,content-encoding,idempotency-key,prefer,\
                  x-avalon-timestamp,x-avalon-nonce,x-avalon-signature";
    let request = request
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", wanted);
    send(request).await
}

fn is_shut(answer: &Answer) -> bool {
    !answer
        .headers
        .keys()
        .any(|name| name.as_str().starts_with("access-control-allow-origin"))
}

#[tokio::test]
async fn cross_origin_pages_are_blocked_by_default() {
    let dev = Avalon::command("dev").start().await;
    let game = Game::of(&dev, &dev);
    let url = game.url("/api/wx/login");
    assert!(is_shut(&preflight(&game, &url, STRANGER).await));
    let answer = game.client.get(game.url("/api/wx/products"));
    assert!(is_shut(&send(answer.header("origin", STRANGER)).await));
}

#[tokio::test]
async fn only_listed_origins_are_allowed_and_never_on_admin_routes() {
    let dev = Avalon::command("dev")
        .env(
            "AVALON_HTTP__CORS_ORIGINS",
            format!("{FRIEND},http://localhost:5173"),
        )
        .env("AVALON_HTTP__HSTS", "30d")
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    let url = game.url("/api/wx/createOrder");

    let allowed = preflight(&game, &url, FRIEND).await;
    assert_eq!(allowed.header("access-control-allow-origin"), FRIEND);
    let headers = allowed.header("access-control-allow-headers");
    for name in [
        "authorization",
        "content-encoding",
        "idempotency-key",
        "x-avalon-signature",
    ] {
        assert!(headers.contains(name), "{headers}");
    }
    assert!(
        allowed
            .header("access-control-allow-methods")
            .contains("POST")
    );
    assert_secured(&allowed, "a preflight");

    let products = game.client.get(game.url("/api/wx/products"));
    let answer = send(products.header("origin", FRIEND)).await;
    assert_eq!(answer.header("access-control-allow-origin"), FRIEND);
    assert_eq!(
        answer.header("strict-transport-security"),
        "max-age=2592000"
    );
    let exposed = answer.header("access-control-expose-headers").to_owned();
    for name in [
        "x-request-id",
        "retry-after",
        "location",
        "ratelimit-policy",
        "x-avalon-token",
    ] {
        assert!(exposed.contains(name), "{exposed}");
    }
    assert!(
        answer.header("vary").contains("origin"),
        "caches keep them apart"
    );

    for (origin, url) in [
        (STRANGER, url.clone()),
        ("https://game.example.com.evil.example.com", url.clone()),
        ("null", url.clone()),
        (FRIEND, format!("{}/admin/jobs", dev.ops)),
    ] {
        let refused = preflight(&game, &url, origin).await;
        assert!(is_shut(&refused), "{origin}: {refused:?}");
        assert!(
            !refused
                .headers
                .contains_key("access-control-allow-credentials")
        );
    }
}
