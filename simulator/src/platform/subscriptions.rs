//! The ledger of subscribe messages: how many each player accepts per template, and what was sent.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::wire::errcode;

/// What a player answers in the panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    Accept,
    Reject,
    Ban,
    Filter,
}

impl Answer {
    /// Returns WeChat's word in pushes; `ban` and `filter` are not pushed.
    pub(crate) fn pushed(self) -> Option<&'static str> {
        match self {
            Self::Accept => Some("accept"),
            Self::Reject => Some("reject"),
            Self::Ban | Self::Filter => None,
        }
    }
}

/// A message that was sent.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SentMessage {
    pub(crate) msgid: u64,
    pub(crate) openid: String,
    pub(crate) template_id: String,
    pub(crate) data: Map<String, Value>,
    pub(crate) page: Option<String>,
    pub(crate) at: Timestamp,
}

/// The ledger.
#[derive(Default)]
pub(crate) struct Subscriptions {
    /// Acceptances left, by openid and template.
    left: BTreeMap<(String, String), u32>,
    /// Players who switched all messages off.
    off: BTreeMap<String, bool>,
    /// The last send to each player.
    last: BTreeMap<String, Timestamp>,
    /// Two sends to a player within this are concurrent, in milliseconds.
    pub(crate) busy_ms: u32,
    sent: Vec<SentMessage>,
}

impl Subscriptions {
    /// Answers a panel.
    pub(crate) fn answer(&mut self, openid: &str, template: &str, answer: Answer) {
        if answer == Answer::Accept {
            *self.entry(openid, template) += 1;
        }
    }

    /// Ends what was accepted of a template, as in the settings.
    pub(crate) fn reject_in_settings(&mut self, openid: &str, template: &str) {
        *self.entry(openid, template) = 0;
    }

    /// Sets the main switch of a player.
    pub(crate) fn switch(&mut self, openid: &str, on: bool) {
        self.off.insert(openid.to_owned(), !on);
    }

    fn entry(&mut self, openid: &str, template: &str) -> &mut u32 {
        self.left
            .entry((openid.to_owned(), template.to_owned()))
            .or_default()
    }

    /// Sends a message, whose data was checked; returns its id.
    pub(crate) fn send(&mut self, message: SentMessage) -> Result<u64, i64> {
        let openid = message.openid.clone();
        let busy = i128::from(self.busy_ms);
        let is_busy = |last: &Timestamp| message.at.duration_since(*last).as_millis() < busy;
        if self.last.get(&openid).is_some_and(is_busy) {
            return Err(errcode::CONCURRENT_MESSAGES);
        }
        let off = self.off.get(&openid).copied().unwrap_or(false);
        let left = self.entry(&openid, &message.template_id);
        if off || *left == 0 {
            return Err(errcode::NOT_SUBSCRIBED);
        }
        *left -= 1;
        self.last.insert(openid, message.at);
        let msgid = message.msgid;
        self.sent.push(message);
        Ok(msgid)
    }

    /// Returns the id of the next message.
    pub(crate) fn next_id(&self) -> u64 {
        3_000_000_000_000_000_000 + self.sent.len() as u64
    }

    /// Describes a player's entries and what was sent to the player.
    pub(crate) fn view(&self, openid: &str) -> Value {
        let of_player = self.left.iter().filter(|((player, _), _)| player == openid);
        let left: Map<String, Value> = of_player
            .map(|((_, template), left)| (template.clone(), (*left).into()))
            .collect();
        let sent: Vec<_> = self.sent.iter().filter(|it| it.openid == openid).collect();
        json!({"left": left, "sent": sent})
    }

    /// Counts all messages that were sent.
    pub(crate) fn sent(&self) -> usize {
        self.sent.len()
    }
}
