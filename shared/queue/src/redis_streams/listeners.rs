//! The two channels of the engine: what changed (for those who wait) and what is due sooner (for
//! those who promote). They only wake; whoever is woken looks for itself, so a lost message costs
//! time at most and a reconnection wakes everybody.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::redis_endpoint::RedisEndpoint;
use crate::store::{JobState, StoreError};
use crate::waiters::{Ended, Waiters};

/// A silent connection is asked for a sign of life this often.
const CHECK_EVERY: Duration = Duration::from_secs(10);
const RECONNECT_AFTER: Duration = Duration::from_millis(200);

pub(super) fn changes_channel(prefix: &str) -> String {
    format!("{prefix}:v1:changes")
}

pub(super) fn due_channel(prefix: &str) -> String {
    format!("{prefix}:v1:due")
}

/// Wakes the waiters of this process when their jobs change.
pub(super) fn spawn_changes(
    endpoint: RedisEndpoint,
    channel: String,
    waiters: Waiters,
) -> AbortHandle {
    spawn(endpoint, channel, move |heard| match heard {
        Heard::Message(text) => {
            let (id, ending) = text.split_once(' ').unwrap_or((text, ""));
            let Ok(id) = id.parse() else { return };
            match ended(ending) {
                Some(ended) => waiters.ended(id, ended),
                None => waiters.wake(id),
            }
        }
        Heard::Reconnected => waiters.wake_all(),
    })
}

/// What `settle.lua` tells of the end of an awaited job: the state, and the result or error as JSON.
fn ended(ending: &str) -> Option<Ended> {
    let (state, json) = ending.split_once(' ')?;
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

/// Notifies when a job of this lane is due sooner than was known.
pub(super) fn spawn_due(
    endpoint: RedisEndpoint,
    channel: String,
    lane: String,
    sooner: Arc<Notify>,
) -> AbortHandle {
    spawn(endpoint, channel, move |heard| match heard {
        Heard::Message(text) if text != lane => {}
        Heard::Message(_) | Heard::Reconnected => sooner.notify_one(),
    })
}

enum Heard<'a> {
    Message(&'a str),
    Reconnected,
}

fn spawn(
    endpoint: RedisEndpoint,
    channel: String,
    mut hear: impl FnMut(Heard<'_>) + Send + 'static,
) -> AbortHandle {
    tokio::spawn(async move {
        loop {
            if let Err(error) = listen(&endpoint, &channel, &mut hear).await {
                tracing::debug!(channel, %error, "listening was interrupted");
            }
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
    })
    .abort_handle()
}

async fn listen(
    endpoint: &RedisEndpoint,
    channel: &str,
    hear: &mut impl FnMut(Heard<'_>),
) -> Result<(), StoreError> {
    let (mut sink, mut messages) = endpoint.listener().await?.split();
    sink.subscribe(channel).await?;
    hear(Heard::Reconnected);
    loop {
        match tokio::time::timeout(CHECK_EVERY, messages.next()).await {
            Ok(Some(message)) => {
                if let Ok(text) = message.get_payload::<String>() {
                    hear(Heard::Message(&text));
                }
            }
            Ok(None) => return Ok(()),
            Err(_) => {
                let alive = tokio::time::timeout(CHECK_EVERY, sink.ping::<redis::Value>()).await;
                alive.map_err(|_| StoreError::Unavailable("the listener is dead".to_owned()))??;
            }
        }
    }
}
