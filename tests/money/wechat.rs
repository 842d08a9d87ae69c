//! The simulated WeChat: what players and WeChat itself do there, and what it knows.

use avalon_simulator::{PaySimulatorSettings, Simulator, SimulatorSettings};
use reqwest::Method;
use serde_json::{Value, json};

/// The app that the simulator knows.
pub(crate) const APP: &str = "wx0123456789abcdef";

pub(crate) struct WeChat {
    /// Where its APIs are.
    pub(crate) url: String,
    client: reqwest::Client,
}

impl WeChat {
    pub(crate) async fn start() -> Self {
        let mut settings = SimulatorSettings::new(APP, "secret");
        settings.pay = Some(PaySimulatorSettings::test().unwrap());
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        tokio::spawn(Simulator::new(settings).serve(socket, std::future::pending()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { url, client }
    }

    /// Forgets everything. Callbacks and refunds wait from now on until they are sent and ended.
    pub(crate) async fn reset(&self) {
        self.must(Method::POST, "reset", json!({})).await;
        let refunds = json!({"refundOutcome": "processing"});
        self.must(Method::PUT, "pay/settings", refunds).await;
        let callbacks = json!({"mode": "hold", "retryScheduleMs": []});
        self.must(Method::PUT, "pay/callbacks", callbacks).await;
    }

    /// Does what must be possible.
    pub(crate) async fn must(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.tell(method, path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    /// Does what the state of things may forbid.
    pub(crate) async fn may(&self, path: &str, body: Value) {
        let (status, answer) = self.tell(Method::POST, path, body).await;
        let expected = (200..300).contains(&status) || [404, 409].contains(&status);
        assert!(expected, "{path}: {status} {answer}");
    }

    async fn tell(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/_sim/{path}", self.url);
        let request = self.client.request(method, url).json(&body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        // Not every answer has a body.
        let body = answer.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// A list that it keeps.
    pub(crate) async fn list(&self, path: &str, name: &str) -> Vec<Value> {
        let url = format!("{}/_sim/pay/{path}", self.url);
        let answer = self.client.get(url).send().await.unwrap();
        let mut answer: Value = answer.json().await.unwrap();
        match answer[name].take() {
            Value::Array(list) => list,
            other => panic!("{path}: {other}"),
        }
    }

    /// What is switched on: see the simulator's README.
    pub(crate) async fn faults(&self, faults: Value) {
        self.must(Method::PUT, "faults", faults).await;
    }
}
