//! One sign-in of a player on one device, and how it ends.

use std::ops::Deref;
use std::sync::Arc;

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display};
use ulid::Ulid;

use super::player::PlayerSessions;
use super::secrets::{Digest, SealedKey};
use crate::base::ids::SessionId;

/// The device of a sign-in, as the client describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The client's name for the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Such as `ios`, `android`, `pc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// WeChat's scene value: how the game was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<i64>,
}

impl SessionId {
    /// The session that a sign-in job creates. Ids of sessions are printed where job ids are not (tokens,
    /// introspection, events), so one does not lead back to the other: the job's time, and 80 bits of a digest.
    pub fn of_job(job: Ulid) -> Self {
        let text = format!("avalon-wx session of job v1\n{job}");
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        let random = hash
            .as_ref()
            .iter()
            .take(16)
            .fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
        Self::from(Ulid::from_parts(job.timestamp_ms(), random))
    }
}

/// Why a session ended early. The names are stored, and appear in logs and responses to operators.
#[derive(AsRefStr, Clone, Copy, Debug, Display, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EndReason {
    /// The player signed out.
    SignedOut,
    /// The player signed in elsewhere, and the device policy allows no more sessions.
    Replaced,
    /// A refresh token was used twice: it may be stolen.
    RefreshReused,
    /// The player is banned.
    Banned,
    /// An operator ended it.
    ByOperator,
}

/// When and why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The reason.
    pub reason: EndReason,
    /// Unix ms.
    pub at: i64,
}

/// One sign-in of a player on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// [Derived](SessionId::of_job) from the sign-in job: a repeated job creates one session.
    pub id: SessionId,
    /// The player's openid.
    pub open_id: String,
    /// The device of the sign-in.
    #[serde(default)]
    pub device: Device,
    /// Unix ms.
    pub created_at: i64,
    /// When its refresh token was issued, Unix ms.
    pub refreshed_at: i64,
    /// When it expires unless it is refreshed, Unix ms.
    pub expires_at: i64,
    /// Digest of the bytes that all its refresh tokens share.
    pub(super) family: Digest,
    /// Digest of the valid refresh token.
    pub(super) refresh: Digest,
    /// Key of signed requests; removed when the session ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signing_key: Option<SealedKey>,
    /// Set when the session ended before it expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

impl Session {
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.ended.is_none() && now.as_millisecond() < self.expires_at
    }

    pub(super) fn end(&mut self, reason: EndReason, now: Timestamp) {
        self.ended = Some(Ended {
            reason,
            at: now.as_millisecond(),
        });
        self.signing_key = None;
    }
}

/// A session that was live when it was looked up, among the others of its player.
#[derive(Clone, Debug)]
pub struct LiveSession {
    all: Arc<PlayerSessions>,
    index: usize,
}

impl LiveSession {
    pub(super) fn of(
        all: Arc<PlayerSessions>,
        id: SessionId,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        all.live(id, now)?;
        let index = all.all().iter().position(|session| session.id == id);
        let index = index.ok_or(Refusal::Unknown)?;
        Ok(Self { all, index })
    }
}

impl Deref for LiveSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.all.all()[self.index]
    }
}

/// Why a session is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No session has this id, or it is no longer remembered.
    #[error("there is no such session")]
    Unknown,
    /// It was not refreshed in time.
    #[error("the session has expired")]
    Expired,
    /// It ended before it expired.
    #[error("the session has ended: {0}")]
    Ended(EndReason),
}

pub(super) fn same_device(one: &Session, other: &Session) -> bool {
    one.device.id.is_some() && one.device.id == other.device.id
}

/// Whether the sessions are known to be on different devices. A client without a device name is
/// compared by device type.
pub(super) fn is_other_device(one: &Session, other: &Session) -> bool {
    match (&one.device.id, &other.device.id) {
        (None, None) => one.device.kind != other.device.kind,
        (one, other) => one != other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_id_is_stable_and_differs_from_the_job_id() {
        let job: Ulid = "01JZ5N4V7W8X9YABCDEFGHJKMN".parse().unwrap();
        let session = SessionId::of_job(job);
        assert_eq!(session, SessionId::of_job(job));
        assert_ne!(session.as_ulid(), job);
        assert_eq!(session.as_ulid().timestamp_ms(), job.timestamp_ms());
        assert_ne!(session.as_ulid().random(), job.random());
        let next = SessionId::of_job(Ulid(job.0 + 1));
        assert_ne!(session, next);
    }
}
