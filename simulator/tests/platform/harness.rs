//! A simulator on its own port, and a client for it.

use std::time::Duration;

use avalon_simulator::{Simulator, SimulatorSettings};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const APP_ID: &str = "wx0123456789abcdef";
pub(crate) const APP_SECRET: &str = "the-app-secret";

pub(crate) struct TestSimulator {
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl TestSimulator {
    pub(crate) async fn start() -> Self {
        Self::start_with(SimulatorSettings::new(APP_ID, APP_SECRET)).await
    }

    pub(crate) async fn start_with(settings: SimulatorSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let simulator = Simulator::new(settings);
        let server = tokio::spawn(simulator.serve(listener, async {
            let _ = stopped.await;
        }));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            base,
            http,
            stop,
            server,
        }
    }

    /// Stops the server and waits until it has stopped.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(5), self.server)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }

    /// Calls `code2Session` with exactly these query parameters.
    pub(crate) async fn call(&self, query: &[(&str, &str)]) -> reqwest::Result<Response> {
        self.http
            .get(format!("{}/sns/jscode2session", self.base))
            .query(query)
            .timeout(Duration::from_secs(5))
            .send()
            .await
    }

    /// Makes a valid call with this code.
    pub(crate) async fn exchange(&self, code: &str) -> reqwest::Result<Response> {
        self.call(&query(code)).await
    }

    /// Makes a valid call with this code and abandons it once it has arrived, before the response.
    pub(crate) async fn abandon(&self, code: &str) {
        let before = self.arrived().await;
        let arrival = async {
            while self.arrived().await == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            answer = self.exchange(code) => panic!("{code} was answered: {answer:?}"),
            () = arrival => {}
        }
    }

    pub(crate) async fn arrived(&self) -> u64 {
        self.get("/requests/count").await["count"].as_u64().unwrap()
    }

    /// Makes a valid call with this code; the response must be JSON with HTTP 200.
    pub(crate) async fn session(&self, code: &str) -> Value {
        let response = self.exchange(code).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    }

    /// Returns the errcode of a valid call with this code; 0 for a success.
    pub(crate) async fn errcode(&self, code: &str) -> i64 {
        errcode(&self.session(code).await)
    }

    pub(crate) async fn control(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        let response = self
            .http
            .request(method, format!("{}/_sim{path}", self.base))
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.control(Method::GET, path, "").await;
        assert_eq!(status, 200, "{body}");
        body
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Value {
        let (status, body) = self.control(Method::PUT, path, body).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Mints a code for a player.
    pub(crate) async fn mint(&self, name: &str) -> Value {
        let body = format!(r#"{{"name":"{name}"}}"#);
        let (status, body) = self.control(Method::POST, "/codes", &body).await;
        assert_eq!(status, 200, "{body}");
        body
    }
}

pub(crate) fn query(code: &str) -> [(&str, &str); 4] {
    [
        ("appid", APP_ID),
        ("secret", APP_SECRET),
        ("js_code", code),
        ("grant_type", "authorization_code"),
    ]
}

pub(crate) fn errcode(answer: &Value) -> i64 {
    answer
        .get("errcode")
        .map_or(0, |code| code.as_i64().unwrap())
}
