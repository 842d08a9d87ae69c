//! The control API of the simulated WeChat: what players do there, how it misbehaves, and its books.

use reqwest::{Client, Method};
use serde_json::{Value, json};

/// A client of the control API, which no fault affects.
#[derive(Clone)]
pub(crate) struct Simulator {
    url: String,
    client: Client,
}

impl Simulator {
    pub(crate) fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            client: avalon_tests::client(),
        }
    }

    /// Calls the control API. A refusal, as of a payment that is not possible any more, is null.
    pub(crate) async fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        let request = self
            .client
            .request(method, format!("{}/_sim/{path}", self.url));
        let response = request.json(body).send().await.expect("WeChat answers");
        let status = response.status();
        let body = response.bytes().await.expect("WeChat answers");
        assert!(
            status != 400 && !status.is_server_error(),
            "{path}: {status} {}",
            String::from_utf8_lossy(&body)
        );
        match status.is_success() {
            true => serde_json::from_slice(&body).unwrap_or_default(),
            false => Value::Null,
        }
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        self.call(Method::POST, path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) {
        self.call(Method::PUT, path, body).await;
    }

    /// Returns one of its lists.
    pub(crate) async fn list(&self, path: &str, name: &str) -> Vec<Value> {
        let mut all = self.call(Method::GET, path, &json!({})).await;
        match all[name].take() {
            Value::Array(list) => list,
            other => panic!("{path}: {other}"),
        }
    }

    /// Issues a sign-in code for a player.
    pub(crate) async fn code(&self, player: &str) -> String {
        let issued = self.post("codes", &json!({"name": player})).await;
        issued["code"].as_str().expect("a code").to_owned()
    }
}
