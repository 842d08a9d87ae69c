//! The game server that receives webhooks, and fails now and then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One of this many webhooks gets a 500.
const FAILS: usize = 7;

type Received = Arc<Mutex<BTreeMap<String, usize>>>;

/// A running game server; it ends when it is dropped.
pub(crate) struct GameServer {
    pub(crate) webhook: String,
    /// How often each webhook was accepted, by its id.
    received: Received,
    serving: JoinHandle<()>,
}

impl GameServer {
    pub(crate) async fn start() -> Self {
        let received = Received::default();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let webhook = format!("http://{}/webhook", socket.local_addr().unwrap());
        let router = Router::new()
            .route("/webhook", post(receive))
            .with_state(Arc::clone(&received));
        let serving = tokio::spawn(async move { axum::serve(socket, router).await.unwrap() });
        Self {
            webhook,
            received,
            serving,
        }
    }

    /// Whether it has accepted this webhook.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.received.lock().unwrap().contains_key(id)
    }
}

impl Drop for GameServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn receive(State(received): State<Received>, headers: HeaderMap) -> StatusCode {
    if fastrand::usize(..FAILS) == 0 {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    *received.lock().unwrap().entry(id).or_default() += 1;
    StatusCode::NO_CONTENT
}
