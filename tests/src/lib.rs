//! A client of the real service for end-to-end tests: calls the API as a game does, and the control API of
//! the simulator. The tests are in `end_to_end/`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic fails the test"
)]

pub mod app;
pub mod books;
pub mod collector;
pub mod event_sinks;
pub mod kafka_broker;
pub mod promql;
pub mod sessions;
pub mod wechat_push;

mod client;

use std::time::Duration;

use avalon_core::jobs::{Login, ReadSecret};
use avalon_test_support::{Avalon, FleetSettings};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

pub use client::Client;

/// A response whose body has been read.
#[derive(Debug)]
pub struct ApiResponse {
    /// HTTP status.
    pub status: StatusCode,
    /// Response headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body, null if it is not JSON.
    pub body: Value,
}

impl ApiResponse {
    /// Reads a response.
    pub async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.expect("the body arrives");
        Self {
            status,
            headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    /// A header's value, empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The problem's `code`, empty if there is none.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Asserts that the response is a problem document as the API specifies it.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), self.code()),
            (status, code),
            "{self:?}"
        );
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        assert_eq!(self.body["status"], status, "{self:?}");
        assert_eq!(
            self.body["requestId"],
            self.header("x-request-id"),
            "{self:?}"
        );
        assert!(
            self.body["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{self:?}"
        );
        assert!(self.body["retryable"].is_boolean(), "{self:?}");
        let retry_later = status == 429 || status == 503;
        assert_eq!(
            self.headers.contains_key("retry-after"),
            retry_later,
            "{self:?}"
        );
    }
}

/// Sends a request and reads the whole response.
pub async fn send(request: RequestBuilder) -> ApiResponse {
    ApiResponse::of(request.send().await.expect("a response")).await
}

/// A client that keeps connections alive and uses no proxy.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap()
}

/// A game's client of one API process and of the simulator that is its WeChat.
pub struct Game {
    /// For requests without a method of their own.
    pub client: reqwest::Client,
    api: String,
    simulator: String,
}

impl Game {
    /// A client of `api`, whose WeChat is `simulator`.
    pub fn of(api: &Avalon, simulator: &Avalon) -> Self {
        Self {
            client: client(),
            api: api.http.clone(),
            simulator: simulator.simulator.clone(),
        }
    }

    /// The URL of a path of the API.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.api)
    }

    /// Signs in.
    pub async fn login(&self, code: &str) -> ApiResponse {
        self.login_preferring(code, "").await
    }

    /// Signs in with a `Prefer` header.
    pub async fn login_preferring(&self, code: &str, prefer: &str) -> ApiResponse {
        let request = self
            .client
            .post(self.url("/api/wx/login"))
            .header("prefer", prefer);
        send(request.json(&json!({ "code": code }))).await
    }

    /// Sends a `GET` without a token.
    pub async fn get(&self, path: &str) -> ApiResponse {
        send(self.client.get(self.url(path))).await
    }

    /// The address of a sign-in job whose 202 was not seen, from its code.
    pub fn sign_in_job(id: &str, code: &str) -> String {
        let key = ReadSecret::of_sign_in(&Login {
            code: code.to_owned(),
            device_id: None,
            device_type: None,
            invite_code: None,
            share_id: None,
            client_ip: None,
            scene: None,
        });
        format!("/api/jobs/{id}?key={}", key.expose())
    }

    /// Waits until the sign-in job at this address (the `Location` of its 202) has ended and returns it.
    pub async fn job(&self, address: &str) -> Value {
        loop {
            let response = self.get(&format!("{address}&wait=30")).await;
            assert_eq!(response.status, 200, "{response:?}");
            if matches!(
                response.body["status"].as_str(),
                Some("succeeded" | "failed")
            ) {
                return response.body;
            }
        }
    }

    /// Number of code exchanges since the simulator's last reset.
    pub async fn exchanges(&self) -> u64 {
        self.calls("code2session").await
    }

    /// Number of calls of an API since the simulator's last reset.
    pub async fn calls(&self, api: &str) -> u64 {
        let path = format!("requests/count?api={api}");
        self.ask_simulator(&path).await["count"].as_u64().unwrap()
    }

    /// Sets the simulator's faults.
    pub async fn faults(&self, faults: Value) {
        let url = format!("{}/_sim/faults", self.simulator);
        let response = send(self.client.put(url).json(&faults)).await;
        assert_eq!(response.status, 200, "{response:?}");
    }

    /// Removes all faults.
    pub async fn clear_faults(&self) {
        let url = format!("{}/_sim/faults", self.simulator);
        assert!(send(self.client.delete(url)).await.status.is_success());
    }

    /// Signs a player in.
    pub async fn player(&self, name: &str) -> Player<'_> {
        let response = self.login(&format!("sim-{name}")).await;
        assert_eq!(response.status, 200, "{response:?}");
        let token = response.body["token"].as_str().expect("a token").to_owned();
        Player { game: self, token }
    }

    /// Creates a product, as an operator of this API.
    pub async fn sell(&self, api: &Avalon, product: &str, price: i64) {
        let request = self
            .client
            .put(format!("{}/admin/products/{product}", api.ops))
            .bearer_auth(FleetSettings::ADMIN_TOKEN)
            .json(&json!({"name": product, "price": price}));
        let response = send(request).await;
        assert_eq!(response.status, 200, "{response:?}");
    }

    /// Sends a `POST` to the simulator's control API.
    pub async fn simulator(&self, path: &str, body: Value) -> ApiResponse {
        let url = format!("{}/_sim/{path}", self.simulator);
        let response = send(self.client.post(url).json(&body)).await;
        assert!(response.status.is_success(), "{path}: {response:?}");
        response
    }

    /// Sends a `PUT` to the simulator's control API, which changes its settings.
    pub async fn set(&self, path: &str, body: Value) {
        let url = format!("{}/_sim/{path}", self.simulator);
        let response = send(self.client.put(url).json(&body)).await;
        assert!(response.status.is_success(), "{path}: {response:?}");
    }

    /// Sends a `GET` to the simulator's control API.
    pub async fn ask_simulator(&self, path: &str) -> Value {
        send(self.client.get(format!("{}/_sim/{path}", self.simulator)))
            .await
            .body
    }

    /// Issues a real, single-use code for a player.
    pub async fn mint_code(&self, name: &str) -> String {
        let request = self.client.post(format!("{}/_sim/codes", self.simulator));
        let response = send(request.json(&json!({ "name": name }))).await;
        response.body["code"]
            .as_str()
            .expect("a code was minted")
            .to_owned()
    }
}

/// A signed-in player.
pub struct Player<'a> {
    /// The API and simulator that the player uses.
    pub game: &'a Game,
    /// The player's token.
    pub token: String,
}

impl Player<'_> {
    /// Sends a `GET` with the player's token.
    pub async fn get(&self, path: &str) -> ApiResponse {
        send(
            self.game
                .client
                .get(self.game.url(path))
                .bearer_auth(&self.token),
        )
        .await
    }

    /// Sends a `POST` with the player's token and an idempotency key.
    pub async fn post(&self, path: &str, key: &str, body: Value) -> ApiResponse {
        let request = self
            .game
            .client
            .post(self.game.url(path))
            .bearer_auth(&self.token);
        send(request.header("idempotency-key", key).json(&body)).await
    }

    /// Creates an order.
    pub async fn order(&self, product: &str, quantity: i64, key: &str) -> ApiResponse {
        let body = json!({"productId": product, "quantity": quantity});
        self.post("/api/wx/createOrder", key, body).await
    }

    /// Requests an order without waiting for it: 202 with the address of its job.
    pub async fn request_order(&self, product: &str, key: &str) -> ApiResponse {
        let url = self.game.url("/api/wx/createOrder");
        let request = self.game.client.post(url).bearer_auth(&self.token);
        let request = request.header("prefer", "respond-async");
        let request = request.header("idempotency-key", key);
        send(request.json(&json!({"productId": product, "quantity": 1}))).await
    }

    /// Pays with these parameters, as `wx.requestPayment` would: WeChat checks their signature.
    pub async fn pay(&self, created: &ApiResponse) {
        let mut params = created.body["payParams"].clone();
        params["appId"] = json!("wx0123456789abcdef");
        self.game.simulator("pay/request-payment", params).await;
    }

    /// The status of an order, empty if it is not found.
    pub async fn status(&self, order: &str) -> String {
        let response = self.get(&format!("/api/wx/getOrder/{order}")).await;
        response.body["order"]["status"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Quantity of a product in the player's inventory.
    pub async fn owns(&self, product: &str) -> i64 {
        let items = self.get("/api/wx/inventory").await.body;
        let items = items["items"].as_array().cloned().unwrap_or_default();
        let item = items.iter().find(|item| item["productId"] == product);
        item.and_then(|item| item["quantity"].as_i64()).unwrap_or(0)
    }
}
