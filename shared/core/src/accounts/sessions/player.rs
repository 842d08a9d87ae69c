//! The rules of a player's sessions, all of them together: which sign-in ends which, what a refresh
//! token is good for, and what is remembered of sessions that have ended. Pure: what is kept where,
//! and by whom, is the store's business.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::secrets::{Digest, RefreshToken, SealedKey};
use crate::accounts::config::DevicePolicy;
use crate::base::ids::SessionId;

/// Ended sessions that are remembered for a player, so that their devices hear why.
const MOST_ENDED: usize = 16;
/// Live sessions of a player, whatever the policy: a client may call each of its sign-ins another
/// device, or another type of device.
const MOST_LIVE: usize = DevicePolicy::MAX_DEVICES as usize;

/// How long a document without sessions stays.
const SOON: Duration = Duration::from_secs(60);

/// On what a player signs in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The client's own name of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Such as `ios`, `android`, `pc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// WeChat's scene value of how the game was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<i64>,
}

/// Why a session is over before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The player signed out.
    SignedOut,
    /// The player signed in elsewhere, and the device policy allows no more.
    Replaced,
    /// A refresh token that was spent came again: one of two who hold it is a thief.
    RefreshReused,
    /// The player is banned.
    Banned,
    /// An operator ended it.
    ByOperator,
}

impl EndReason {
    /// The word in logs, audit and answers to operators.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Replaced => "replaced",
            Self::RefreshReused => "refresh_reused",
            Self::Banned => "banned",
            Self::ByOperator => "by_operator",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// When and why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Why.
    pub reason: EndReason,
    /// When, Unix ms.
    pub at: i64,
}

/// One sign-in of a player on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The sign-in job's id: doing that job twice makes one session.
    pub id: SessionId,
    /// The player's openid.
    pub open_id: String,
    /// On what.
    #[serde(default)]
    pub device: Device,
    /// Unix ms.
    pub created_at: i64,
    /// When its refresh token was made, Unix ms.
    pub refreshed_at: i64,
    /// Ends by itself then, Unix ms.
    pub expires_at: i64,
    /// What all its refresh tokens have in common.
    pub(super) family: Digest,
    /// The refresh token that is good.
    pub(super) refresh: Digest,
    /// Signs the player's requests; forgotten when the session ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signing_key: Option<SealedKey>,
    /// Over before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

impl Session {
    fn is_live(&self, now: Timestamp) -> bool {
        self.ended.is_none() && now.as_millisecond() < self.expires_at
    }

    fn end(&mut self, reason: EndReason, now: Timestamp) {
        self.ended = Some(Ended {
            reason,
            at: now.as_millisecond(),
        });
        self.signing_key = None;
    }
}

/// Why a session does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none of this id, or no more.
    #[error("there is no such session")]
    Unknown,
    /// It was not refreshed in time.
    #[error("the session has expired")]
    Expired,
    /// It ended before its time.
    #[error("the session has ended: {0}")]
    Ended(EndReason),
}

/// The player may not sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the player is banned")]
pub struct Banned;

/// All that is known of one player's sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayerSessions {
    /// Nobody signs in as this player. The database knows it too; here it closes the gap between
    /// that row and a sign-in that is under way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) banned: bool,
    /// Oldest first.
    #[serde(default)]
    pub(super) sessions: Vec<Session>,
}

impl PlayerSessions {
    /// The session, while it lives.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn live(&self, id: SessionId, now: Timestamp) -> Result<&Session, Refusal> {
        let session = self.sessions.iter().find(|session| session.id == id);
        let session = session.ok_or(Refusal::Unknown)?;
        match session.ended {
            Some(ended) => Err(Refusal::Ended(ended.reason)),
            None if session.is_live(now) => Ok(session),
            None => Err(Refusal::Expired),
        }
    }

    /// Adds a session and ends those that the policy has no more room for; gives the ended ones that
    /// are of another device.
    ///
    /// A session that is there already (its job is done again) gets the new secrets, since nobody
    /// can have been told the first ones. One that has ended meanwhile stays ended: a later sign-in
    /// was before it.
    ///
    /// # Errors
    /// When the player is banned.
    pub fn sign_in(
        &mut self,
        new: Session,
        policy: DevicePolicy,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, Banned> {
        self.forget_what_is_over(now);
        if self.banned {
            return Err(Banned);
        }
        if let Some(same) = self.sessions.iter_mut().find(|s| s.id == new.id) {
            if same.ended.is_none() {
                *same = new;
            }
            return Ok(Vec::new());
        }
        let room = match policy {
            DevicePolicy::Single | DevicePolicy::PerDeviceType => 1,
            DevicePolicy::Multi(most) => most.get() as usize,
        };
        // Those that compete with the new one for room.
        let rivals = self.sessions.iter_mut().filter(|s| s.is_live(now));
        let mut rivals: Vec<&mut Session> = match policy {
            DevicePolicy::PerDeviceType => rivals
                .filter(|s| s.device.kind == new.device.kind || same_device(s, &new))
                .collect(),
            DevicePolicy::Single | DevicePolicy::Multi(_) => rivals.collect(),
        };
        // A device has one session, whatever the policy: that one goes first.
        rivals.sort_by_key(|s| (!same_device(s, &new), s.created_at, s.id));
        let too_many = (rivals.len() + 1).saturating_sub(room);
        let of_this_device = rivals.iter().filter(|s| same_device(s, &new)).count();
        let mut ended = Vec::new();
        let mut replace = |session: &mut Session| {
            session.end(EndReason::Replaced, now);
            if another_device(session, &new) {
                ended.push(session.id);
            }
        };
        for session in rivals.into_iter().take(too_many.max(of_this_device)) {
            replace(session);
        }
        let live = self.sessions.iter_mut().filter(|s| s.is_live(now));
        let live: Vec<_> = live.collect();
        let surplus = (live.len() + 1).saturating_sub(MOST_LIVE);
        for session in live.into_iter().take(surplus) {
            replace(session);
        }
        self.sessions.push(new);
        Ok(ended)
    }

    /// Spends a refresh token for the next one of its family.
    ///
    /// # Errors
    /// [`RefreshRefusal::Reused`] has ended the session: store what has changed.
    pub(super) fn refresh(
        &mut self,
        given: &RefreshToken,
        next: &RefreshToken,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<&mut Session, RefreshRefusal> {
        let id = given.session;
        self.live(id, now)?;
        let session = self.sessions.iter_mut().find(|session| session.id == id);
        let session = session.ok_or(Refusal::Unknown)?;
        if session.refresh == given.digest() {
            session.refresh = next.digest();
            session.refreshed_at = now.as_millisecond();
            session.expires_at = after(now, ttl);
            Ok(session)
        } else if session.refresh == next.digest() {
            // This very refresh has been written before, and the answer to that was lost.
            Ok(session)
        } else if session.family == given.family() {
            session.end(EndReason::RefreshReused, now);
            Err(RefreshRefusal::Reused)
        } else {
            // Somebody knows the session's id, which is no secret, and guesses.
            Err(Refusal::Unknown.into())
        }
    }

    /// Ends a live session; whether it was one.
    pub fn end(&mut self, id: SessionId, reason: EndReason, now: Timestamp) -> bool {
        let live = |session: &&mut Session| session.id == id && session.is_live(now);
        match self.sessions.iter_mut().find(live) {
            Some(session) => {
                session.end(reason, now);
                true
            }
            None => false,
        }
    }

    /// Ends all live sessions; gives them.
    pub fn end_all(&mut self, reason: EndReason, now: Timestamp) -> Vec<SessionId> {
        let live = self.sessions.iter_mut().filter(|s| s.is_live(now));
        live.map(|session| {
            session.end(reason, now);
            session.id
        })
        .collect()
    }

    /// Nobody signs in as this player any more; gives the sessions that lived.
    pub(super) fn ban(&mut self, now: Timestamp) -> Vec<SessionId> {
        self.banned = true;
        self.end_all(EndReason::Banned, now)
    }

    /// The player may sign in again, and devices that come back hear no more of the ban.
    pub(super) fn lift_ban(&mut self) {
        self.banned = false;
        let ended = self.sessions.iter_mut().filter_map(|s| s.ended.as_mut());
        for ended in ended.filter(|ended| ended.reason == EndReason::Banned) {
            ended.reason = EndReason::ByOperator;
        }
    }

    /// Every session that is remembered, oldest first.
    pub fn all(&self) -> &[Session] {
        &self.sessions
    }

    /// When nothing in here matters any more, Unix ms; none: never.
    pub(super) fn expires_at(&self, now: Timestamp) -> Option<i64> {
        if self.banned {
            return None;
        }
        let ends = self.sessions.iter().map(|session| session.expires_at);
        // Not at once, even when nothing is left: stores want a time to come.
        Some(ends.max().unwrap_or(0).max(after(now, SOON)))
    }

    fn forget_what_is_over(&mut self, now: Timestamp) {
        let now = now.as_millisecond();
        self.sessions.retain(|session| session.expires_at > now);
        let ended = self.sessions.iter().filter(|s| s.ended.is_some()).count();
        let mut surplus = ended.saturating_sub(MOST_ENDED - 1);
        self.sessions.retain(|session| {
            let forget = surplus > 0 && session.ended.is_some();
            surplus -= usize::from(forget);
            !forget
        });
    }
}

/// A refresh token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RefreshRefusal {
    /// The session does not count, or has no such token.
    #[error(transparent)]
    Session(#[from] Refusal),
    /// It was spent before; the session is over now.
    #[error("the refresh token was spent before")]
    Reused,
}

/// A time so much later, Unix ms.
pub(super) fn after(now: Timestamp, ttl: Duration) -> i64 {
    let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    now.as_millisecond().saturating_add(ttl)
}

fn same_device(one: &Session, other: &Session) -> bool {
    one.device.id.is_some() && one.device.id == other.device.id
}

/// Whether the two are known to be of two devices: which one a client without a name is can't be told.
fn another_device(one: &Session, other: &Session) -> bool {
    match (&one.device.id, &other.device.id) {
        (None, None) => one.device.kind != other.device.kind,
        (one, other) => one != other,
    }
}

#[cfg(test)]
mod tests;
