//! Subscriptions to the engine's two channels: changed jobs, for waiters, and earlier due times, for
//! promoters. Messages are only notifications, so a lost one delays but loses nothing, and every
//! reconnection notifies all receivers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::PubSubSink;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::job::JobId;
use crate::redis_endpoint::RedisEndpoint;
use crate::store::{JobState, StoreError};
use crate::waiters::{Ended, Waiters};

/// Time between two probes of a subscription: the first after the minimum, then doubling.
const MIN_PROBE_INTERVAL: Duration = Duration::from_secs(1);
const MAX_PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// Maximum time until a published probe arrives.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const RECONNECT_DELAY: Duration = Duration::from_millis(200);

pub(super) fn changes_channel(prefix: &str) -> String {
    format!("{prefix}:v1:changes")
}

pub(super) fn due_channel(prefix: &str) -> String {
    format!("{prefix}:v1:due")
}

/// Notifies the waiters of this process when their jobs change.
pub(super) fn spawn_changes(
    endpoint: RedisEndpoint,
    channel: String,
    waiters: Waiters,
) -> AbortHandle {
    spawn(endpoint, channel, move |event| match event {
        Event::Message(text) => {
            let (id, outcome) = text.split_once(' ').unwrap_or((text, ""));
            let Ok(id) = id.parse() else { return };
            match parse_outcome(outcome) {
                Some(ended) => waiters.ended(id, ended),
                None => waiters.wake(id),
            }
        }
        Event::Reconnected => waiters.wake_all(),
    })
}

/// Parses the outcome of an awaited job as published by `settle.lua`: `STATE JSON`, the JSON being the
/// result or the error.
fn parse_outcome(outcome: &str) -> Option<Ended> {
    let (state, json) = outcome.split_once(' ')?;
    let ended = |state, result, error| {
        Some(Ended {
            state,
            result,
            error,
        })
    };
    match state {
        "succeeded" => ended(
            JobState::Succeeded,
            RawValue::from_string(json.to_owned()).ok(),
            None,
        ),
        "rejected" => ended(JobState::Rejected, None, serde_json::from_str(json).ok()),
        "dead" => ended(JobState::Dead, None, serde_json::from_str(json).ok()),
        _ => None,
    }
}

/// Notifies when the earliest due time of this lane has moved forward.
pub(super) fn spawn_due(
    endpoint: RedisEndpoint,
    channel: String,
    lane: String,
    due_earlier: Arc<Notify>,
) -> AbortHandle {
    spawn(endpoint, channel, move |event| match event {
        Event::Message(text) if text != lane => {}
        Event::Message(_) | Event::Reconnected => due_earlier.notify_one(),
    })
}

enum Event<'a> {
    Message(&'a str),
    Reconnected,
}

fn spawn(
    endpoint: RedisEndpoint,
    channel: String,
    mut handle: impl FnMut(Event<'_>) + Send + 'static,
) -> AbortHandle {
    tokio::spawn(async move {
        loop {
            if let Err(error) = listen(&endpoint, &channel, &mut handle).await {
                tracing::debug!(channel, %error, "subscription was interrupted, will reconnect");
            }
            tokio::time::sleep(RECONNECT_DELAY).await;
        }
    })
    .abort_handle()
}

async fn listen(
    endpoint: &RedisEndpoint,
    channel: &str,
    handle: &mut impl FnMut(Event<'_>),
) -> Result<(), StoreError> {
    let mut failovers = endpoint.failovers();
    let (mut sink, mut messages) = endpoint.listener().await?.split();
    sink.subscribe(channel).await?;
    handle(Event::Reconnected);
    let mut probe = Probe::new();
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else { return Ok(()) };
                if let Ok(text) = message.get_payload::<String>()
                    && !probe.arrived(&text)
                {
                    handle(Event::Message(&text));
                }
            }
            _ = failovers.changed() => return Err(unavailable("a failover was noticed")),
            () = tokio::time::sleep_until(probe.deadline) => {
                probe.publish(endpoint, &mut sink, channel).await?;
            }
        }
    }
}

/// Checks that a subscription receives what the shared connection publishes. A connection that still
/// responds to pings may lead to a server that was demoted and hears of nothing.
struct Probe {
    /// The published probe that has not arrived.
    pending: Option<String>,
    interval: Duration,
    /// When the next probe is due, or when the pending one must have arrived.
    deadline: Instant,
}

impl Probe {
    fn new() -> Self {
        Self {
            pending: None,
            interval: MIN_PROBE_INTERVAL,
            deadline: Instant::now() + MIN_PROBE_INTERVAL,
        }
    }

    /// Whether the message is a probe: ours, or another subscriber's.
    fn arrived(&mut self, text: &str) -> bool {
        if self.pending.as_deref() == Some(text) {
            self.schedule();
        }
        text.starts_with("probe ")
    }

    fn schedule(&mut self) {
        self.pending = None;
        self.interval = (self.interval * 2).min(MAX_PROBE_INTERVAL);
        self.deadline = Instant::now() + self.interval;
    }

    async fn publish(
        &mut self,
        endpoint: &RedisEndpoint,
        sink: &mut PubSubSink,
        channel: &str,
    ) -> Result<(), StoreError> {
        if self.pending.is_some() {
            return Err(unavailable("the subscription receives no messages"));
        }
        let probe = format!("probe {}", JobId::generate());
        let mut command = redis::cmd("PUBLISH");
        command.arg(channel).arg(&probe);
        let mut link = endpoint.shared();
        let published = command.exec_async(&mut link);
        match tokio::time::timeout(PROBE_TIMEOUT, published).await {
            Ok(Ok(())) => {
                self.pending = Some(probe);
                self.deadline = Instant::now() + PROBE_TIMEOUT;
            }
            // Nothing can be published now, so only the connection itself can be checked.
            _ => {
                let pong = tokio::time::timeout(PROBE_TIMEOUT, sink.ping::<redis::Value>()).await;
                pong.map_err(|_| unavailable("the subscription does not respond"))??;
                self.schedule();
            }
        }
        Ok(())
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}
