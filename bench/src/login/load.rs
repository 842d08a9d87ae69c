//! An open loop: requests leave on a timetable and wait for no answer before them, so that a
//! service that falls behind cannot hide it.

use std::sync::Arc;
use std::time::Duration;

use avalon_test_support::{Fleet, FleetSettings};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::Outcome;
use crate::latencies::Latencies;

/// A timetable.
pub(super) struct Load {
    /// From one request to the next.
    pub(super) every: Duration,
    /// Requests before those that count.
    pub(super) warm_up: u32,
    /// Requests that count.
    pub(super) requests: u32,
    /// Players who sign in in turn.
    pub(super) players: u64,
}

/// What came of the requests of one kind.
#[derive(Default)]
pub(super) struct Side {
    pub(super) latencies: Latencies,
    pub(super) errors: Vec<String>,
}

/// What came of all of them.
#[derive(Default)]
pub(super) struct Measured {
    pub(super) login: Side,
    pub(super) direct: Side,
}

impl Measured {
    /// An error, if there was any.
    pub(super) fn first_error(&self) -> Option<&String> {
        let mut errors = self.login.errors.iter().chain(&self.direct.errors);
        errors.next()
    }
}

impl Load {
    /// Sends it: a sign-in and a direct call in turn.
    pub(super) async fn send(self, fleet: Fleet) -> Outcome<Measured> {
        let fleet = Arc::new(fleet);
        let start = Instant::now();
        let mut requests = JoinSet::new();
        for n in 0..self.warm_up + self.requests {
            sleep_until(start + self.every * n).await;
            let sent = Instant::now();
            let (fleet, code) = (Arc::clone(&fleet), self.code(n));
            requests.spawn(async move {
                let is_login = n.is_multiple_of(2);
                let answer = if is_login {
                    login(&fleet, &code).await
                } else {
                    direct(&fleet, &code).await
                };
                (n, is_login, answer.map(|()| sent.elapsed()))
            });
        }
        let mut measured = Measured::default();
        while let Some(ended) = requests.join_next().await {
            let (n, is_login, answer) = ended?;
            let side = match is_login {
                true => &mut measured.login,
                false => &mut measured.direct,
            };
            match answer {
                Ok(latency) if n >= self.warm_up => side.latencies.add(latency),
                Ok(_) => {}
                Err(error) => side.errors.push(error.to_string()),
            }
        }
        Ok(measured)
    }

    /// A sign-in and the direct call after it are of the same player.
    fn code(&self, n: u32) -> String {
        format!("sim-bench-{}", u64::from(n / 2) % self.players)
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
    let answer = fleet.client().get(url).query(&query).send().await?;
    expect(answer, "session_key").await
}

/// Reads the answer to its end: 200, with this field.
async fn expect(answer: Response, field: &str) -> Outcome<()> {
    let status = answer.status();
    let body: Value = answer.json().await?;
    if status == StatusCode::OK && body[field].is_string() {
        Ok(())
    } else {
        Err(format!("{status} without {field}: {body}").into())
    }
}
