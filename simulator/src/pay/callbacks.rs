//! Callbacks: their content, delivery attempts and responses, and the delivery policy.
//! [`super::delivery`] sends them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::forgery::Forgery;
use super::notification::{envelope, event_id};

/// Maximum number of stored callbacks; older ones are dropped and no longer retried.
const MAX_CALLBACKS: usize = 10_000;

/// The documented delays before the fifteen retries, in seconds.
const REAL_SCHEDULE: [u64; 15] = [
    15, 15, 30, 180, 600, 1_200, 1_800, 1_800, 1_800, 3_600, 10_800, 10_800, 10_800, 21_600, 21_600,
];

/// The delivery policy that `PUT /_sim/pay/callbacks` changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Policy {
    pub(crate) mode: Mode,
    /// Delay before the first attempt, in milliseconds.
    pub(crate) delay_ms: u64,
    /// Number of concurrent copies of the first attempt.
    pub(crate) copies: u32,
    /// Whether to swap two consecutive callbacks.
    pub(crate) reorder: bool,
    pub(crate) key_mode: CallbackKey,
    /// Whether the first attempt of each callback is a probe with a `SIGNTEST` signature.
    pub(crate) sign_test: bool,
    /// Whether every attempt has a wrong signature.
    pub(crate) wrong_signature: bool,
    pub(crate) retry_schedule_ms: Schedule,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::Normal,
            delay_ms: 0,
            copies: 1,
            reorder: false,
            key_mode: CallbackKey::Auto,
            sign_test: false,
            wrong_signature: false,
            retry_schedule_ms: Schedule::Milliseconds(
                (0..15).map(|n| (200 << n).min(15_000)).collect(),
            ),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Mode {
    /// Callbacks are sent.
    Normal,
    /// Callbacks are discarded.
    Drop,
    /// Callbacks wait for a control route to release them.
    Hold,
}

/// The platform key that signs callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum CallbackKey {
    /// The public key, unless the key mode is `certificateOnly`.
    Auto,
    PublicKey,
    Certificate,
    /// Either at random, as during a key rollout.
    Random,
}

/// The retry schedule of a callback that was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Schedule {
    Named(NamedSchedule),
    Milliseconds(Vec<u64>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum NamedSchedule {
    /// WeChat's documented schedule, which spans a day.
    Real,
}

impl Schedule {
    /// Returns the delay before retry `n`, from 0; none when the retries are exhausted.
    pub(crate) fn wait(&self, n: usize) -> Option<Duration> {
        match self {
            Self::Named(NamedSchedule::Real) => {
                REAL_SCHEDULE.get(n).copied().map(Duration::from_secs)
            }
            Self::Milliseconds(waits) => waits.get(n).copied().map(Duration::from_millis),
        }
    }
}

/// The event that a callback reports.
pub(crate) struct Subject {
    pub(crate) event_type: &'static str,
    pub(crate) original_type: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) out_trade_no: String,
    pub(crate) out_refund_no: Option<String>,
    pub(crate) url: String,
    /// The resource before encryption.
    pub(crate) plain: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Status {
    /// In flight, or waiting for a retry.
    Sending,
    Held,
    Dropped,
    /// Acknowledged with a 2xx.
    Delivered,
    /// All retries are exhausted.
    Failed,
}

/// One callback.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Callback {
    pub(crate) id: String,
    event_type: &'static str,
    out_trade_no: String,
    out_refund_no: Option<String>,
    pub(crate) url: String,
    pub(crate) forged: Option<Forgery>,
    pub(crate) status: Status,
    created_at: Timestamp,
    /// The resource before encryption.
    plain: Value,
    attempts: Vec<Attempt>,
    /// Number of attempts started.
    #[serde(skip)]
    pub(crate) attempts_started: u32,
    #[serde(skip)]
    pub(crate) body: Bytes,
}

impl Callback {
    /// Creates a callback about `subject` with an encrypted resource.
    pub(crate) fn new(subject: Subject, resource: Value, now: Timestamp) -> Self {
        let id = event_id();
        let body = envelope(
            &id,
            subject.event_type,
            subject.original_type,
            subject.summary,
            resource,
            now,
        );
        Self {
            id,
            event_type: subject.event_type,
            out_trade_no: subject.out_trade_no,
            out_refund_no: subject.out_refund_no,
            url: subject.url,
            forged: None,
            status: Status::Sending,
            created_at: now,
            plain: subject.plain,
            attempts: Vec::new(),
            attempts_started: 0,
            body,
        }
    }
}

/// One delivery attempt.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    pub(crate) sent_at: Timestamp,
    pub(crate) serial: String,
    pub(crate) signature: Signature,
    /// The HTTP status of the response; null after an error or timeout.
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<String>,
    pub(crate) duration_ms: u64,
}

impl Attempt {
    /// Whether it counts as delivered. A probe never does: accepting one is a merchant's defect.
    pub(crate) fn is_delivered(&self) -> bool {
        self.signature != Signature::SignTest
            && self
                .status
                .is_some_and(|status| (200..300).contains(&status))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Signature {
    Right,
    SignTest,
    Wrong,
    /// Right, but its timestamp is too old.
    Stale,
    /// Right, but under a serial that no platform key has.
    UnknownSerial,
}

/// All callbacks, in creation order.
#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) policy: Policy,
    order: VecDeque<String>,
    by_id: HashMap<String, Callback>,
    /// The callback that waits for a later one to overtake it.
    pub(crate) overtaken: Option<String>,
}

impl Callbacks {
    pub(crate) fn add(&mut self, callback: Callback) {
        if self.order.len() == MAX_CALLBACKS
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
        self.order.push_back(callback.id.clone());
        self.by_id.insert(callback.id.clone(), callback);
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Callback> {
        self.by_id.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Callback> {
        self.by_id.get_mut(id)
    }

    pub(crate) fn record(&mut self, id: &str, attempt: Attempt) {
        let Some(callback) = self.by_id.get_mut(id) else {
            return;
        };
        if attempt.is_delivered() {
            callback.status = Status::Delivered;
        }
        callback.attempts.push(attempt);
    }

    /// Returns the callbacks of an order, or all.
    pub(crate) fn list(&self, out_trade_no: Option<&str>) -> Vec<Callback> {
        self.order
            .iter()
            .filter_map(|id| self.by_id.get(id))
            .filter(|callback| out_trade_no.is_none_or(|number| callback.out_trade_no == number))
            .cloned()
            .collect()
    }

    /// Returns the ids of held callbacks.
    pub(crate) fn held(&self) -> Vec<String> {
        let is_held = |id: &&String| {
            self.by_id
                .get(*id)
                .is_some_and(|callback| callback.status == Status::Held)
        };
        self.order.iter().filter(is_held).cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}
