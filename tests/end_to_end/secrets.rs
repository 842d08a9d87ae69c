//! No secret is logged, even at level `trace`.

use std::time::Duration;

use avalon_test_support::{
    FleetSettings, TestDatabase, eventually_eq, shared_redis_url, unique_prefix,
};
use avalon_tests::{Game, Player, send};
use serde_json::{Value, json};

/// The encodings of a secret to search for: plain, URL and JSON.
fn spellings(secret: &str) -> [String; 3] {
    let in_url = secret
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    let in_json = secret.replace('\n', "\\n");
    [secret.to_owned(), in_url, in_json]
}

#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    let database = TestDatabase::postgres().await;
    let settings = FleetSettings::new(database.url(), &shared_redis_url().await)
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix())
        .env("AVALON_FULFIL__WEBHOOK_URL", "http://127.0.0.1:9/webhook")
        .env("AVALON_FULFIL__WEBHOOK_SECRET", "webhook-secret-0123456789")
        .env("AVALON_FULFIL__ALLOW_PRIVATE_ADDRESSES", "true")
        .env("AVALON_LOG__LEVEL", "trace")
        .with_payments();
    let secrets_of_settings: Vec<(String, String)> = settings
        .environment()
        .filter(|(name, _)| {
            [
                "SECRET",
                "SIGNING_KEY",
                "ENCRYPTION_KEY",
                "TOKEN",
                "MERCHANT_KEY",
                "API_V3_KEY",
            ]
            .iter()
            .any(|ending| name.ends_with(ending))
        })
        .collect();
    assert_eq!(secrets_of_settings.len(), 7);
    let fleet = settings.start(1, 1).await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    let admin =
        |request: reqwest::RequestBuilder| send(request.bearer_auth(FleetSettings::ADMIN_TOKEN));

    let product = json!({"name": "Hat", "price": 100});
    let put = game
        .client
        .put(format!("{}/admin/products/hat", fleet.apis[0].ops));
    assert_eq!(admin(put.json(&product)).await.status, 200);
    let code = game.mint_code("alice").await;
    let signed_in = game.login(&code).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let open_id = text(&signed_in.body["userInfo"]["openId"]);
    let player = Player {
        game: &game,
        token: text(&signed_in.body["token"]),
    };
    let created = player.order("hat", 1, "first").await;
    player.pay(&created).await;
    let order = text(&created.body["orderId"]);
    let status = async || player.status(&order).await;
    eventually_eq(Duration::from_secs(20), "paid".to_owned(), status).await;
    let renew = game.client.post(game.url("/api/wx/refreshToken"));
    let renew = renew.json(&json!({"refreshToken": signed_in.body["refreshToken"]}));
    let renewed = send(renew).await;
    assert_eq!(renewed.status, 200, "{renewed:?}");
    let introspect = game
        .client
        .post(format!("{}/internal/introspect", fleet.apis[0].ops));
    let token = json!({"token": renewed.body["token"]});
    assert_eq!(admin(introspect.json(&token)).await.body["active"], true);
    // Rejected requests are logged in more detail.
    game.login(&code).await;
    let stranger = Player {
        game: &game,
        token: format!("{}x", player.token),
    };
    stranger
        .get("/api/wx/inventory")
        .await
        .assert_problem(401, "UNAUTHENTICATED");

    let at_wechat = game.ask_simulator(&format!("players/{open_id}")).await;
    let mut secrets = secrets_of_settings;
    for (what, secret) in [
        ("the sign-in code", code.clone()),
        ("WeChat's session key", text(&at_wechat["sessionKey"])),
        ("the token", player.token.clone()),
        ("the refresh token", text(&signed_in.body["refreshToken"])),
        ("the signing key", text(&signed_in.body["signingKey"])),
        ("the next token", text(&renewed.body["token"])),
        (
            "the next refresh token",
            text(&renewed.body["refreshToken"]),
        ),
        (
            "the payment's signature",
            text(&created.body["payParams"]["paySign"]),
        ),
        ("the openid", open_id),
    ] {
        secrets.push((what.to_owned(), secret));
    }
    // The API connects to the stores only, whose clients have no messages at trace level.
    let apis = fleet.apis.iter().map(|api| (api, "DEBUG"));
    let workers = fleet.workers.iter().map(|worker| (worker, "TRACE"));
    for (process, lowest) in apis.chain(workers) {
        let log = process.log();
        let level = format!("\"level\":\"{lowest}\"");
        assert!(log.contains(&level), "{lowest} messages are logged");
        for (what, secret) in &secrets {
            for spelling in spellings(secret.trim()) {
                let line = log.lines().find(|line| line.contains(&spelling));
                assert!(line.is_none(), "{what} is in the log: {line:?}");
            }
        }
    }
}
