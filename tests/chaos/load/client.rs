//! Requests of players and operators, with what they saw.

use std::sync::Arc;
use std::time::{Duration, Instant};

use avalon_test_support::FleetSettings;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;

use crate::journal::{Journal, Seen};
use crate::world::{Addresses, World};

/// A client that waits longer gives up.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Statuses that clients are prepared for.
const EXPECTED: [u16; 10] = [200, 202, 204, 401, 403, 404, 409, 422, 429, 503];

/// The clients of one player, and those of the operators.
#[derive(Clone)]
pub(crate) struct Clients {
    http: Client,
    addresses: Addresses,
    journal: Arc<Journal>,
}

/// A session, as the service issued it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) token: String,
    pub(crate) refresh_token: String,
    pub(crate) user: String,
    pub(crate) open_id: String,
}

impl Session {
    pub(crate) fn read(body: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Self {
            token: text(&body["token"]),
            refresh_token: text(&body["refreshToken"]),
            user: text(&body["userInfo"]["_id"]),
            open_id: text(&body["userInfo"]["openId"]),
        }
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// When the request was sent: what was accepted may be in Redis since then.
    pub(crate) sent: Instant,
    /// 0 without an answer.
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// The address of the job of a 202.
    pub(crate) location: String,
}

impl Answer {
    /// No answer.
    pub(crate) fn none() -> Self {
        Self {
            sent: Instant::now(),
            status: 0,
            body: Value::Null,
            location: String::new(),
        }
    }

    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Whether the same request may be repeated, and has to be, to learn its outcome.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.status, 0 | 202 | 429 | 503)
    }
}

impl Clients {
    pub(crate) fn of(world: &World, journal: Arc<Journal>) -> Self {
        let http = Client::builder().no_proxy().timeout(TIMEOUT).build();
        Self {
            http: http.expect("create an HTTP client"),
            addresses: world.addresses.clone(),
            journal,
        }
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.addresses.api))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.addresses.api))
    }

    /// A request of an operator or the game server.
    pub(crate) fn operate(&self, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.addresses.ops);
        self.http.post(url).bearer_auth(FleetSettings::ADMIN_TOKEN)
    }

    /// Sends a request and notes what came back.
    pub(crate) async fn send(&self, what: &'static str, request: RequestBuilder) -> Answer {
        let at = Instant::now();
        let answer = receive(request).await;
        let answer = answer.unwrap_or_else(|_| Answer::none());
        let seen = match (answer.status, answer.code()) {
            (0, _) => "no answer".to_owned(),
            (status, "") => status.to_string(),
            (status, code) => format!("{status} {code}"),
        };
        if answer.status != 0 && !EXPECTED.contains(&answer.status) {
            self.journal
                .violation(format!("{what}: {seen}: {}", answer.body));
        }
        let took = at.elapsed();
        self.journal.entries().seen.push(Seen {
            at,
            took,
            what,
            answer: seen,
        });
        answer
    }
}

async fn receive(request: RequestBuilder) -> reqwest::Result<Answer> {
    let sent = Instant::now();
    let response = request.send().await?;
    let status = response.status().as_u16();
    let location = response.headers().get("location");
    let location = location
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let body = response.bytes().await?;
    Ok(Answer {
        sent,
        status,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        location,
    })
}
