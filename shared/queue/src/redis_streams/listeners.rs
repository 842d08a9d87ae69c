//! Subscriptions to the engine's two channels: changed jobs, for waiters, and earlier due times, for
//! promoters. Messages are only notifications, so a lost one delays but loses nothing, and every
//! reconnection notifies all receivers.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::redis_endpoint::RedisEndpoint;
use crate::store::{JobState, StoreError};
use crate::waiters::{Ended, Waiters};

/// A connection that was silent for this long is checked by a ping.
const PING_INTERVAL: Duration = Duration::from_secs(10);
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
    let (mut sink, mut messages) = endpoint.listener().await?.split();
    sink.subscribe(channel).await?;
    handle(Event::Reconnected);
    loop {
        match tokio::time::timeout(PING_INTERVAL, messages.next()).await {
            Ok(Some(message)) => {
                if let Ok(text) = message.get_payload::<String>() {
                    handle(Event::Message(&text));
                }
            }
            Ok(None) => return Ok(()),
            Err(_) => {
                let alive = tokio::time::timeout(PING_INTERVAL, sink.ping::<redis::Value>()).await;
                alive.map_err(|_| {
                    StoreError::Unavailable("the subscription does not respond".to_owned())
                })??;
            }
        }
    }
}
