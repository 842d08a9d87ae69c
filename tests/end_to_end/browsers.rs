//! Response headers for browsers: security headers everywhere, and CORS for listed origins only.

use avalon_test_support::{Avalon, FleetSettings};
use avalon_tests::{ApiResponse, Game, send};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

const ALLOWED: &str = "https://game.example.com";
const FOREIGN: &str = "https://evil.example.com";

fn assert_secured(response: &ApiResponse, what: &str) {
    assert_eq!(
        response.header("x-content-type-options"),
        "nosniff",
        "{what}"
    );
    assert_eq!(response.header("referrer-policy"), "no-referrer", "{what}");
    let resource_policy = response.header("cross-origin-resource-policy");
    assert_eq!(resource_policy, "same-origin", "{what}");
    let policies = response.headers.get_all("content-security-policy").iter();
    assert_eq!(policies.count(), 1, "{what}");
    let policy = response.header("content-security-policy");
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
    let requests: Vec<(&str, RequestBuilder, u16)> = vec![
        ("a sign-in", login, 200),
        ("a refused body", large, 413),
        ("no token", public(get.clone(), "/api/wx/orders"), 401),
        ("no such path", public(get.clone(), "/nothing"), 404),
        ("no such method", public(Method::PUT, "/api/wx/login"), 405),
        ("a callback", public(post, "/api/wx/pay/notify"), 401),
        ("the document", public(get.clone(), "/openapi.json"), 200),
        ("keys", public(get.clone(), "/.well-known/jwks.json"), 200),
        ("API documentation", public(get, "/docs/"), 200),
        ("health", ops("/healthz"), 200),
        ("metrics", ops("/metrics"), 200),
        ("an admin route without a token", ops("/admin/jobs"), 401),
        ("no such operator path", ops("/nothing"), 404),
        (
            "an admin route with the token",
            ops("/admin/jobs").bearer_auth(FleetSettings::ADMIN_TOKEN),
            200,
        ),
    ];
    for (what, request, status) in requests {
        let response = send(request).await;
        assert_eq!(response.status, status, "{what}: {response:?}");
        assert_secured(&response, what);
        let hsts = response.headers.get("strict-transport-security");
        assert!(hsts.is_none(), "{what}: this listener has no TLS");
    }
    let documentation = send(game.client.get(game.url("/docs/"))).await;
    let policy = documentation.header("content-security-policy");
    assert!(policy.contains("script-src 'self';"), "{policy}");
}

/// The preflight request of a browser for a signed request with a token.
async fn preflight(game: &Game, url: &str, origin: &str) -> ApiResponse {
    let request = game.client.request(Method::OPTIONS, url);
    let wanted = "authorization,content-type,content-encoding,idempotency-key,prefer,\
                  x-avalon-timestamp,x-avalon-nonce,x-avalon-signature";
    let request = request
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", wanted);
    send(request).await
}

fn is_blocked(response: &ApiResponse) -> bool {
    !response
        .headers
        .keys()
        .any(|name| name.as_str().starts_with("access-control-allow-origin"))
}

#[tokio::test]
async fn cross_origin_pages_are_blocked_by_default() {
    let dev = Avalon::command("dev").start().await;
    let game = Game::of(&dev, &dev);
    let url = game.url("/api/wx/login");
    assert!(is_blocked(&preflight(&game, &url, FOREIGN).await));
    let response = game.client.get(game.url("/api/wx/products"));
    assert!(is_blocked(&send(response.header("origin", FOREIGN)).await));
}

#[tokio::test]
async fn only_listed_origins_are_allowed_and_never_on_admin_routes() {
    let dev = Avalon::command("dev")
        .env(
            "AVALON_HTTP__CORS_ORIGINS",
            format!("{ALLOWED},http://localhost:5173"),
        )
        .env("AVALON_HTTP__HSTS", "30d")
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    let url = game.url("/api/wx/createOrder");

    let allowed = preflight(&game, &url, ALLOWED).await;
    assert_eq!(allowed.header("access-control-allow-origin"), ALLOWED);
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
    let response = send(products.header("origin", ALLOWED)).await;
    assert_eq!(response.header("access-control-allow-origin"), ALLOWED);
    assert_eq!(
        response.header("strict-transport-security"),
        "max-age=2592000"
    );
    let exposed = response.header("access-control-expose-headers").to_owned();
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
        response.header("vary").contains("origin"),
        "caches distinguish origins"
    );

    for (origin, url) in [
        (FOREIGN, url.clone()),
        ("https://game.example.com.evil.example.com", url.clone()),
        ("null", url.clone()),
        (ALLOWED, format!("{}/admin/jobs", dev.ops)),
    ] {
        let refused = preflight(&game, &url, origin).await;
        assert!(is_blocked(&refused), "{origin}: {refused:?}");
        assert!(
            !refused
                .headers
                .contains_key("access-control-allow-credentials")
        );
    }
}
