//! A push endpoint that returns configured answers and records what it received.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The answer that accepts a payment event.
pub(crate) const ACCEPTED: &str = r#"{"ErrCode":0,"ErrMsg":"Success"}"#;

#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Parses the payload of a plain payment event.
    pub(crate) fn payload(&self) -> Value {
        let message = self.json();
        serde_json::from_str(message["MiniGame"]["Payload"].as_str().unwrap()).unwrap()
    }
}

#[derive(Default)]
struct Shared {
    answers: VecDeque<String>,
    received: Vec<Received>,
}

pub(crate) struct Inbox {
    pub(crate) url: String,
    shared: Arc<Mutex<Shared>>,
    server: JoinHandle<()>,
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Inbox {
    /// Starts an endpoint that returns these answers, and then [`ACCEPTED`].
    pub(crate) async fn start(answers: &[&str]) -> Self {
        let shared = Arc::new(Mutex::new(Shared {
            answers: answers.iter().map(|&answer| answer.to_owned()).collect(),
            received: Vec::new(),
        }));
        let routes = Router::new()
            .route("/push", get(verify).post(receive))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/push", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            url,
            shared,
            server,
        }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.lock().unwrap().received.clone()
    }

    /// Waits until `count` pushes have arrived.
    pub(crate) async fn wait(&self, count: usize) -> Vec<Received> {
        let arrival = async {
            while self.received().len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let arrived = tokio::time::timeout(Duration::from_secs(10), arrival).await;
        assert!(
            arrived.is_ok(),
            "{} of {count} pushes",
            self.received().len()
        );
        self.received()
    }
}

async fn verify(Query(query): Query<BTreeMap<String, String>>) -> String {
    query["echostr"].clone()
}

async fn receive(
    State(shared): State<Arc<Mutex<Shared>>>,
    Query(query): Query<BTreeMap<String, String>>,
    body: String,
) -> (StatusCode, String) {
    let mut shared = shared.lock().unwrap();
    shared.received.push(Received { query, body });
    let answer = shared.answers.pop_front();
    (
        StatusCode::OK,
        answer.unwrap_or_else(|| ACCEPTED.to_owned()),
    )
}
