//! The simulated WeChat, driven over its control API: what players and WeChat do, and its state.

use reqwest::Method;
use serde_json::{Value, json};

pub(crate) struct WeChat {
    /// Base URL of its APIs.
    pub(crate) url: String,
    client: reqwest::Client,
}

impl WeChat {
    /// The simulator at this base URL.
    pub(crate) fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            client: avalon_tests::client(),
        }
    }

    /// Clears all state. From then on callbacks are held until released and refunds until finished.
    pub(crate) async fn reset(&self) {
        // The service keeps its access token, and would wait before it fetched another one.
        self.must(Method::POST, "reset", json!({"keepTokens": true}))
            .await;
        let refunds = json!({"refundOutcome": "processing"});
        self.must(Method::PUT, "pay/settings", refunds).await;
        let callbacks = json!({"mode": "hold", "retryScheduleMs": []});
        self.must(Method::PUT, "pay/callbacks", callbacks).await;
    }

    /// Calls the control API; any failure fails the test.
    pub(crate) async fn must(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, response) = self.call(method, path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {response}");
        response
    }

    /// Calls the control API; 404 and 409 are accepted, since the state may not allow the call.
    pub(crate) async fn may(&self, path: &str, body: Value) {
        let (status, response) = self.call(Method::POST, path, body).await;
        let expected = (200..300).contains(&status) || [404, 409].contains(&status);
        assert!(expected, "{path}: {status} {response}");
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/_sim/{path}", self.url);
        let request = self.client.request(method, url).json(&body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        // Not every response has a body.
        let body = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Returns one of the lists of WeChat Pay.
    pub(crate) async fn list(&self, path: &str, name: &str) -> Vec<Value> {
        self.list_of(&format!("pay/{path}"), name).await
    }

    /// Returns one of its lists.
    pub(crate) async fn list_of(&self, path: &str, name: &str) -> Vec<Value> {
        let url = format!("{}/_sim/{path}", self.url);
        let response = self.client.get(url).send().await.unwrap();
        let mut response: Value = response.json().await.unwrap();
        match response[name].take() {
            Value::Array(list) => list,
            other => panic!("{path}: {other}"),
        }
    }

    /// Sets the active faults; see the simulator's README.
    pub(crate) async fn faults(&self, faults: Value) {
        self.must(Method::PUT, "faults", faults).await;
    }
}
