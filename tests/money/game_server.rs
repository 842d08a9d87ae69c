//! A game server that counts the webhooks it receives and can be made to reject them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

#[derive(Clone, Default)]
pub(crate) struct GameServer(Arc<Inner>);

#[derive(Default)]
struct Inner {
    refuses: AtomicBool,
    received: Mutex<HashMap<String, u32>>,
}

impl GameServer {
    /// Starts it and returns it with its webhook URL.
    pub(crate) async fn start() -> (Self, String) {
        let server = Self::default();
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", socket.local_addr().unwrap());
        let router = Router::new()
            .route("/hook", post(hook))
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(socket, router).await });
        (server, url)
    }

    /// Makes it reject every webhook with 503, or accept them again.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.0.refuses.store(refuses, Ordering::Relaxed);
    }

    /// Returns the number of times a webhook was accepted.
    pub(crate) fn received(&self, webhook_id: &str) -> u32 {
        let received = self.0.received.lock().unwrap();
        received.get(webhook_id).copied().unwrap_or(0)
    }
}

async fn hook(State(GameServer(inner)): State<GameServer>, headers: HeaderMap) -> StatusCode {
    if inner.refuses.load(Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    *inner.received.lock().unwrap().entry(id).or_default() += 1;
    StatusCode::OK
}
