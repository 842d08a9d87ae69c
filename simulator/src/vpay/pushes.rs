//! Pushes: their content, attempts and answers. [`super::push_delivery`] sends them.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ladder::Ladder;
use super::state::Env;

/// Maximum number of stored pushes; older ones are dropped and no longer repeated.
const MAX_PUSHES: usize = 20_000;

/// The form of answer that accepts a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum AnswerForm {
    /// `success`, or nothing.
    Success,
    /// `ErrCode` 0, as JSON or XML.
    ErrCode,
}

/// What a push says.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Content {
    /// A payload of virtual payment, as text: its bytes are signed at each attempt.
    Payment {
        env: Env,
        payload: String,
        is_mock: bool,
    },
    /// Any other fields.
    Fields(Map<String, Value>),
}

/// A push to create.
pub(crate) struct NewPush {
    pub(crate) event: String,
    pub(crate) sender: String,
    pub(crate) content: Content,
    pub(crate) ladder: Ladder,
    pub(crate) answer: AnswerForm,
    /// The order that an accepted delivery marks as delivered.
    pub(crate) delivers: Option<(Env, String)>,
    /// The order that it is about.
    pub(crate) out_trade_no: Option<String>,
    /// The gift pack whose circuit breaker counts its answers.
    pub(crate) gift: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Status {
    /// In flight, or waiting for its time.
    Sending,
    Held,
    Dropped,
    /// Accepted by our server.
    Accepted,
    /// The ladder is at its end.
    Failed,
}

/// A push.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Push {
    pub(crate) id: u64,
    pub(crate) event: String,
    pub(crate) sender: String,
    pub(crate) out_trade_no: Option<String>,
    pub(crate) content: Content,
    pub(crate) ladder: Ladder,
    pub(crate) answer: AnswerForm,
    pub(crate) status: Status,
    pub(crate) created_at: Timestamp,
    pub(crate) attempts: Vec<Attempt>,
    #[serde(skip)]
    pub(crate) delivers: Option<(Env, String)>,
    pub(crate) gift: Option<String>,
}

/// One attempt to send a push.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    /// Time of the clock that can be advanced.
    pub(crate) at: Timestamp,
    pub(crate) is_accepted: bool,
    pub(crate) status: Option<u16>,
    pub(crate) answer: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) duration_ms: u64,
}

/// The latest pushes.
#[derive(Default)]
pub(crate) struct Pushes {
    next: u64,
    latest: VecDeque<Push>,
}

impl Pushes {
    pub(crate) fn add(&mut self, new: NewPush, status: Status, now: Timestamp) -> u64 {
        let id = self.next;
        self.next += 1;
        if self.latest.len() == MAX_PUSHES {
            self.latest.pop_front();
        }
        self.latest.push_back(Push {
            id,
            event: new.event,
            sender: new.sender,
            out_trade_no: new.out_trade_no,
            content: new.content,
            ladder: new.ladder,
            answer: new.answer,
            status,
            created_at: now,
            attempts: Vec::new(),
            delivers: new.delivers,
            gift: new.gift,
        });
        id
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Push> {
        let first = self.latest.front()?.id;
        self.latest
            .get(usize::try_from(id.checked_sub(first)?).ok()?)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Push> {
        let first = self.latest.front()?.id;
        self.latest
            .get_mut(usize::try_from(id.checked_sub(first)?).ok()?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Push> {
        self.latest.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.latest.len()
    }
}
