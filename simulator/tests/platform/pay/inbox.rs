//! A merchant's callback endpoint that returns configured statuses and records deliveries.

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

use super::verification::{decrypt, verify};

#[derive(Default)]
struct Received {
    /// Statuses of the next responses; 204 once it is empty.
    answers: VecDeque<u16>,
    deliveries: Vec<Delivery>,
    /// Delay before each response.
    pause: Duration,
}

#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Timestamp,
}

impl Delivery {
    pub(crate) fn verify(&self) -> Result<String, &'static str> {
        verify(&self.headers, &self.body)
    }

    pub(crate) fn envelope(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Verifies the signature and decrypts the resource.
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
    /// Starts an endpoint that returns these statuses, and then 204.
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

    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.received.lock().unwrap().deliveries.clone()
    }

    /// Waits until `count` deliveries have arrived.
    pub(crate) async fn wait(&self, count: usize) -> Vec<Delivery> {
        let arrival = async {
            while self.deliveries().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), arrival)
            .await
            .unwrap();
        self.deliveries()
    }

    /// Checks that no further delivery arrives for a moment.
    pub(crate) async fn stays_at(&self, count: usize) {
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(self.deliveries().len(), count);
    }
}

async fn receive(
    State(received): State<Arc<Mutex<Received>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let (status, pause) = {
        let mut received = received.lock().unwrap();
        received.deliveries.push(Delivery {
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
