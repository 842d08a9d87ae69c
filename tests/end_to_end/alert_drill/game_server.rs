//! A game server that receives webhooks and can be made to reject them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;

/// Clones are the same server.
#[derive(Clone, Default)]
pub(super) struct GameServer {
    refuses: Arc<AtomicBool>,
}

impl GameServer {
    /// Starts it and returns it with its webhook URL.
    pub(super) async fn start() -> (Self, String) {
        let server = Self::default();
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks", socket.local_addr().unwrap());
        let refuses = Arc::clone(&server.refuses);
        let response = async move || match refuses.load(Ordering::Relaxed) {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => StatusCode::NO_CONTENT,
        };
        let router = Router::new().fallback(response);
        tokio::spawn(async move { axum::serve(socket, router).await });
        (server, url)
    }

    /// Makes it reject every webhook with 503, or accept them again.
    pub(super) fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }
}
