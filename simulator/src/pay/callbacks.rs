//! The callbacks: what each says, how often it was sent and what was answered, and the policy by
//! which they are sent. Sending is the business of [`super::deliver`].

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::forge::Forgery;
use super::notification::{envelope, event_id};

/// How many callbacks are kept; older ones are forgotten, and not sent again.
const KEPT: usize = 10_000;

/// The documented waits before the fifteen times that a callback is sent again, in seconds.
const REAL_SCHEDULE: [u64; 15] = [
    15, 15, 30, 180, 600, 1_200, 1_800, 1_800, 1_800, 3_600, 10_800, 10_800, 10_800, 21_600, 21_600,
];

/// What `PUT /_sim/pay/callbacks` changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Policy {
    pub(crate) mode: Mode,
    /// Before the first time that one is sent.
    pub(crate) delay_ms: u64,
    /// How often one is sent at once.
    pub(crate) copies: u32,
    /// Whether of two that follow each other the later one comes first.
    pub(crate) reorder: bool,
    pub(crate) key_mode: CallbackKey,
    /// Whether the first of each has a wrong signature that says so of itself.
    pub(crate) sign_test: bool,
    /// Whether all have a wrong signature.
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
    /// They are sent.
    Normal,
    /// They are lost.
    Drop,
    /// They are kept until they are released.
    Hold,
}

/// Which key callbacks are signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum CallbackKey {
    /// The public key, unless there are only certificates.
    Auto,
    PublicKey,
    Certificate,
    /// Either, as in the week of a switch.
    Random,
}

/// When a callback is sent again that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Schedule {
    Named(NamedSchedule),
    Milliseconds(Vec<u64>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum NamedSchedule {
    /// As documented: over a day.
    Real,
}

impl Schedule {
    /// The wait before the `n`th time again; none when there is no such time.
    pub(crate) fn wait(&self, n: usize) -> Option<Duration> {
        match self {
            Self::Named(NamedSchedule::Real) => {
                REAL_SCHEDULE.get(n).copied().map(Duration::from_secs)
            }
            Self::Milliseconds(waits) => waits.get(n).copied().map(Duration::from_millis),
        }
    }
}

/// What a callback is about.
pub(crate) struct Subject {
    pub(crate) event_type: &'static str,
    pub(crate) original_type: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) out_trade_no: String,
    pub(crate) out_refund_no: Option<String>,
    pub(crate) url: String,
    /// The resource before it is encrypted.
    pub(crate) plain: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Status {
    /// On its way, or waiting to be sent again.
    Sending,
    Held,
    Dropped,
    /// Answered with a 2xx.
    Delivered,
    /// Given up.
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
    /// What it says, decrypted.
    plain: Value,
    attempts: Vec<Attempt>,
    /// How often it was begun to be sent.
    #[serde(skip)]
    pub(crate) begun: u32,
    #[serde(skip)]
    pub(crate) body: Bytes,
}

impl Callback {
    /// A callback about `subject` whose resource is encrypted already.
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
            begun: 0,
            body,
        }
    }
}

/// One time that a callback was sent.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    pub(crate) sent_at: Timestamp,
    pub(crate) serial: String,
    pub(crate) signature: Signature,
    /// What was answered; null when nothing was, in time.
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<String>,
    pub(crate) duration_ms: u64,
}

impl Attempt {
    /// Whether it counts as delivered. A probe never does: that it was taken is a defect.
    pub(crate) fn is_taken(&self) -> bool {
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
    /// Right, of a time too long ago.
    Stale,
    /// Of a key that nobody has.
    UnknownSerial,
}

/// All callbacks, in the order in which they came to be.
#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) policy: Policy,
    order: VecDeque<String>,
    by_id: HashMap<String, Callback>,
    /// The one that waits for another to overtake it.
    pub(crate) overtaken: Option<String>,
}

impl Callbacks {
    pub(crate) fn add(&mut self, callback: Callback) {
        if self.order.len() == KEPT
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

    pub(crate) fn note(&mut self, id: &str, attempt: Attempt) {
        let Some(callback) = self.by_id.get_mut(id) else {
            return;
        };
        if attempt.is_taken() {
            callback.status = Status::Delivered;
        }
        callback.attempts.push(attempt);
    }

    /// Those about this order; all when there is none.
    pub(crate) fn list(&self, out_trade_no: Option<&str>) -> Vec<Callback> {
        self.order
            .iter()
            .filter_map(|id| self.by_id.get(id))
            .filter(|callback| out_trade_no.is_none_or(|number| callback.out_trade_no == number))
            .cloned()
            .collect()
    }

    /// The ids of those that are held.
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
