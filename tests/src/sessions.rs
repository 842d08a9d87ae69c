//! Helpers for tests of sessions, signatures and rate limits.

use avalon_test_support::{
    Avalon, AvalonCommand, Fleet, FleetSettings, TestDatabase, shared_redis_url, unique_prefix,
};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::{ApiResponse, Game, send};

/// Starts `avalon dev` with a client.
pub async fn dev() -> (Avalon, Game) {
    dev_with(&[]).await
}

/// Starts `avalon dev` with these environment variables, with a client.
pub async fn dev_with(env: &[(&str, &str)]) -> (Avalon, Game) {
    let command = Avalon::command("dev");
    let set = |command: AvalonCommand, (name, value): &(&str, &str)| command.env(*name, *value);
    let dev = env.iter().fold(command, set).start().await;
    let game = Game::of(&dev, &dev);
    (dev, game)
}

/// Starts two API processes of one service, with a client each.
pub async fn two_apis() -> (TestDatabase, Fleet, [Game; 2]) {
    let database = TestDatabase::postgres().await;
    let settings = FleetSettings::new(database.url(), &shared_redis_url().await)
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix());
    let fleet = settings.start(2, 1).await;
    let games = [0, 1].map(|n| Game::of(&fleet.apis[n], &fleet.simulator));
    (database, fleet, games)
}

/// Signs a player in on a device and returns the response body.
pub async fn sign_in(game: &Game, name: &str, device: &str, kind: &str) -> Value {
    let code = game.mint_code(name).await;
    let body = json!({"code": code, "deviceId": device, "deviceType": kind});
    let response = send(game.client.post(game.url("/api/wx/login")).json(&body)).await;
    assert_eq!(response.status, 200, "{response:?}");
    response.body
}

/// Builds a `GET` with the session's token.
pub fn get(game: &Game, session: &Value, path: &str) -> RequestBuilder {
    let token = session["token"].as_str().unwrap();
    game.client.get(game.url(path)).bearer_auth(token)
}

/// Gets the inventory, a route that requires a token.
pub async fn inventory(game: &Game, session: &Value) -> ApiResponse {
    send(get(game, session, "/api/wx/inventory")).await
}

/// Uses the session's refresh token.
pub async fn refresh(game: &Game, session: &Value) -> ApiResponse {
    let body = json!({"refreshToken": session["refreshToken"]});
    send(
        game.client
            .post(game.url("/api/wx/refreshToken"))
            .json(&body),
    )
    .await
}

/// Signs the session out; `query` may be `?everywhere=true`.
pub async fn logout(game: &Game, session: &Value, query: &str) -> ApiResponse {
    let token = session["token"].as_str().unwrap();
    let url = game.url(&format!("/api/wx/logout{query}"));
    send(game.client.post(url).bearer_auth(token)).await
}
