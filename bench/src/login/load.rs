//! An open loop: requests are sent on schedule without waiting for earlier responses, so that a service that
//! falls behind cannot hide it.

use std::sync::Arc;
use std::time::Duration;

use avalon_test_support::{Fleet, FleetSettings};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::inline::Inline;
use crate::Outcome;
use crate::latencies::Latencies;

/// A schedule of requests.
pub(super) struct Load {
    /// Interval between requests.
    pub(super) every: Duration,
    /// Unmeasured requests at the start.
    pub(super) warm_up: u32,
    /// Measured requests.
    pub(super) requests: u32,
    /// Players who sign in in turn.
    pub(super) players: u64,
}

/// Results of the requests of one kind.
#[derive(Default)]
pub(super) struct Side {
    pub(super) latencies: Latencies,
    pub(super) errors: Vec<String>,
}

/// Results of all kinds.
#[derive(Default)]
pub(super) struct Measured {
    pub(super) login: Side,
    pub(super) inline: Side,
    pub(super) direct: Side,
}

impl Measured {
    /// The first error, if any.
    pub(super) fn first_error(&self) -> Option<&String> {
        let sides = [&self.login, &self.inline, &self.direct];
        sides.into_iter().find_map(|side| side.errors.first())
    }
}

impl Load {
    /// Sends the requests, alternating between the service, the inline handler and WeChat alone.
    pub(super) async fn send(self, fleet: Fleet) -> Outcome<Measured> {
        let inline = Inline::new(&fleet.settings).await?;
        let fleet = Arc::new(fleet);
        let start = Instant::now();
        let mut requests = JoinSet::new();
        for n in 0..self.warm_up + self.requests {
            sleep_until(start + self.every * n).await;
            let sent = Instant::now();
            let (fleet, inline, code) = (Arc::clone(&fleet), inline.clone(), self.code(n));
            requests.spawn(async move {
                let kind = n % 3;
                let response = match kind {
                    0 => login(&fleet, &code).await,
                    1 => inline.sign_in(&code).await,
                    _ => direct(&fleet, &code).await,
                };
                (n, kind, response.map(|()| sent.elapsed()))
            });
        }
        let mut measured = Measured::default();
        while let Some(ended) = requests.join_next().await {
            let (n, kind, response) = ended?;
            let side = match kind {
                0 => &mut measured.login,
                1 => &mut measured.inline,
                _ => &mut measured.direct,
            };
            match response {
                Ok(latency) if n >= self.warm_up => side.latencies.add(latency),
                Ok(_) => {}
                Err(error) => side.errors.push(error.to_string()),
            }
        }
        Ok(measured)
    }

    /// Three consecutive requests use the same player.
    fn code(&self, n: u32) -> String {
        format!("sim-bench-{}", u64::from(n / 3) % self.players)
    }
}

async fn login(fleet: &Fleet, code: &str) -> Outcome<()> {
    expect(fleet.login(code).await?, "token").await
}

async fn direct(fleet: &Fleet, code: &str) -> Outcome<()> {
    let query = [
        ("appid", FleetSettings::APP_ID),
        ("secret", FleetSettings::APP_SECRET),
        ("grant_type", "authorization_code"),
        ("js_code", code),
    ];
    let url = format!("{}/sns/jscode2session", fleet.simulator.simulator);
    let response = fleet.client().get(url).query(&query).send().await?;
    expect(response, "session_key").await
}

/// Reads the whole response; expects a 200 with this field.
async fn expect(response: Response, field: &str) -> Outcome<()> {
    let status = response.status();
    let body: Value = response.json().await?;
    if status == StatusCode::OK && body[field].is_string() {
        Ok(())
    } else {
        Err(format!("{status} without {field}: {body}").into())
    }
}
