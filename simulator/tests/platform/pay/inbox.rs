//! Where callbacks arrive: a server that answers as the test says, and keeps what came.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::verifying::{decrypt, verify};

#[derive(Default)]
struct Received {
    /// What is answered next; then 204.
    answers: VecDeque<u16>,
    letters: Vec<Letter>,
    /// How long an answer takes.
    pause: Duration,
}

#[derive(Clone)]
pub(crate) struct Letter {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Timestamp,
}

impl Letter {
    pub(crate) fn verify(&self) -> Result<String, &'static str> {
        verify(&self.headers, &self.body)
    }

    pub(crate) fn envelope(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// What a rightly signed and encrypted one says.
    pub(crate) fn plain(&self) -> Value {
        self.verify().unwrap();
        serde_json::from_slice(&decrypt(&self.envelope()["resource"]).unwrap()).unwrap()
    }
}

pub(crate) struct Inbox {
    pub(crate) url: String,
    received: Arc<Mutex<Received>>,
    server: JoinHandle<()>,
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Inbox {
    /// Answers with these statuses, and then with 204.
    pub(crate) async fn start(answers: &[u16]) -> Self {
        let received = Arc::new(Mutex::new(Received {
            answers: answers.iter().copied().collect(),
            ..Received::default()
        }));
        let routes = Router::new()
            .route("/notify", post(receive))
            .with_state(Arc::clone(&received));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/notify", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            url,
            received,
            server,
        }
    }

    pub(crate) fn pause(&self, pause: Duration) {
        self.received.lock().unwrap().pause = pause;
    }

    pub(crate) fn letters(&self) -> Vec<Letter> {
        self.received.lock().unwrap().letters.clone()
    }

    /// Waits until so many have come.
    pub(crate) async fn wait(&self, count: usize) -> Vec<Letter> {
        let come = async {
            while self.letters().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), come)
            .await
            .unwrap();
        self.letters()
    }

    /// Waits a moment, and sees whether more have come than so many.
    pub(crate) async fn stays_at(&self, count: usize) {
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(self.letters().len(), count);
    }
}

async fn receive(
    State(received): State<Arc<Mutex<Received>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let (status, pause) = {
        let mut received = received.lock().unwrap();
        received.letters.push(Letter {
            headers,
            body,
            at: Timestamp::now(),
        });
        let status = received.answers.pop_front().unwrap_or(204);
        (status, received.pause)
    };
    tokio::time::sleep(pause).await;
    StatusCode::from_u16(status).unwrap()
}
