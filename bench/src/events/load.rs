//! Players who report events in batches and repeat each batch until it is accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use avalon_test_support::Fleet;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Outcome;

const PLAYERS: usize = 50;
/// Names of the reported events.
const NAMES: [&str; 4] = ["level_start", "level_end", "card_played", "chat"];
/// Concurrent requests.
const LANES: usize = 16;
const PAUSE: Duration = Duration::from_millis(100);
const MAX_ATTEMPTS: usize = 300;

/// The batches to send.
pub(super) struct Load {
    client: Client,
    url: String,
    tokens: Arc<Vec<String>>,
    events: usize,
    batch: usize,
}

impl Load {
    /// Signs the players in.
    pub(super) async fn prepare(fleet: &Fleet, events: usize, batch: usize) -> Outcome<Self> {
        let mut tokens = Vec::new();
        for n in 0..PLAYERS {
            let response: Value = fleet
                .login(&format!("sim-reporter-{n}"))
                .await?
                .json()
                .await?;
            let token = response["token"].as_str();
            let token = token.ok_or_else(|| format!("no token: {response}"))?;
            tokens.push(token.to_owned());
        }
        let api = fleet.apis.first().ok_or("an API is needed")?;
        Ok(Self {
            client: fleet.client().clone(),
            url: format!("{}/api/wx/report", api.http),
            tokens: Arc::new(tokens),
            events,
            batch,
        })
    }

    pub(super) fn players(&self) -> usize {
        self.tokens.len()
    }

    /// Sends all batches; returns the number of repeated requests.
    pub(super) async fn send(&self) -> Outcome<usize> {
        let batches = self.events.div_ceil(self.batch);
        let next = Arc::new(AtomicUsize::new(0));
        let repeats = Arc::new(AtomicUsize::new(0));
        let mut lanes = JoinSet::new();
        for _ in 0..LANES {
            let (client, url, tokens) =
                (self.client.clone(), self.url.clone(), self.tokens.clone());
            let (next, repeats) = (Arc::clone(&next), Arc::clone(&repeats));
            let (events, size) = (self.events, self.batch);
            lanes.spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= batches {
                        return Outcome::Ok(());
                    }
                    let first = n * size;
                    let body = body(first..(first + size).min(events));
                    let token = &tokens[n % tokens.len()];
                    let repeated = send_one(&client, &url, token, body).await?;
                    repeats.fetch_add(repeated, Ordering::Relaxed);
                }
            });
        }
        while let Some(lane) = lanes.join_next().await {
            lane??;
        }
        Ok(repeats.load(Ordering::Relaxed))
    }
}

/// Builds a report like a game's; the number of each event is its id.
pub(crate) fn body(numbers: std::ops::Range<usize>) -> String {
    let now = now_ms();
    let event = |n: usize| {
        json!({
            "eventId": format!("e-{n}"),
            "eventName": NAMES[n % NAMES.len()],
            "eventParams": {"level": n % 90, "score": n * 7 % 10_000, "role": "merlin", "win": n.is_multiple_of(2)},
            "timestamp": now,
            "sessionId": format!("s-{}", n / 1000),
        })
    };
    json!({"events": numbers.map(event).collect::<Vec<_>>(), "appVersion": "1.0.0", "platform": "ios"})
        .to_string()
}

pub(super) fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since_epoch.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

async fn send_one(client: &Client, url: &str, token: &str, body: String) -> Outcome<usize> {
    let mut seen = String::new();
    for attempt in 0..MAX_ATTEMPTS {
        if attempt > 0 {
            sleep(PAUSE).await;
        }
        let request = client
            .post(url)
            .bearer_auth(token)
            .header("content-type", "application/json")
            .body(body.clone());
        match request.send().await {
            Ok(response) if response.status() == StatusCode::OK => {
                let response: Value = response.json().await?;
                return match response["rejected"].as_array() {
                    Some(rejected) if rejected.is_empty() => Ok(attempt),
                    _ => Err(format!("events were rejected: {response}").into()),
                };
            }
            Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => {
                seen = response.text().await?;
            }
            Ok(response) => {
                return Err(format!("{}: {}", response.status(), response.text().await?).into());
            }
            Err(error) => seen = error.to_string(),
        }
    }
    Err(format!("a batch was not accepted: {seen}").into())
}
