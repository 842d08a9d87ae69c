//! The rules for all sessions of one player: which session a sign-in ends, when a refresh token is
//! valid, and how many ended sessions are remembered. Pure; storage is elsewhere.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::rules::SessionRules;
use super::secrets::{RefreshToken, Successors};
use super::session::{EndReason, Refusal, Session, is_other_device, same_device};
use crate::accounts::config::DevicePolicy;
use crate::base::ids::SessionId;

/// Ended sessions that are remembered for a player, so that their devices learn the reason.
const MAX_ENDED: usize = 16;
/// Live sessions of a player under any policy: a client may name a new device, or a new type of device,
/// at each sign-in.
const MAX_LIVE: usize = DevicePolicy::MAX_DEVICES as usize;

/// Lifetime of a document without sessions.
const EMPTY_TTL: Duration = Duration::from_secs(60);

/// The player may not sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the player is banned")]
pub struct Banned;

/// The sessions of one player.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayerSessions {
    /// Sign-ins are refused. The player's row has the ban too; this flag covers a sign-in that is in
    /// progress while that row changes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) banned: bool,
    /// Oldest first.
    #[serde(default)]
    pub(super) sessions: Vec<Session>,
}

impl PlayerSessions {
    /// Returns the session if it is live.
    ///
    /// # Errors
    /// The reason if it is not.
    pub fn live(&self, id: SessionId, now: Timestamp) -> Result<&Session, Refusal> {
        let session = self.sessions.iter().find(|session| session.id == id);
        let session = session.ok_or(Refusal::Unknown)?;
        match session.ended {
            Some(ended) => Err(Refusal::Ended(ended.reason)),
            None if session.is_live(now) => Ok(session),
            None => Err(Refusal::Expired),
        }
    }

    /// Adds a session and ends those that the policy no longer allows; returns the ended ones of other
    /// devices.
    ///
    /// A session that exists already (its job is repeated) gets the new credentials, since no client
    /// received the first ones. One that has ended in the meantime stays ended: a later sign-in
    /// overtook it.
    ///
    /// # Errors
    /// When the player is banned.
    pub fn sign_in(
        &mut self,
        new: Session,
        policy: DevicePolicy,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, Banned> {
        self.prune(now);
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
        // Live sessions that compete with the new one.
        let rivals = self.sessions.iter_mut().filter(|s| s.is_live(now));
        let mut rivals: Vec<&mut Session> = match policy {
            DevicePolicy::PerDeviceType => rivals
                .filter(|s| s.device.kind == new.device.kind || same_device(s, &new))
                .collect(),
            DevicePolicy::Single | DevicePolicy::Multi(_) => rivals.collect(),
        };
        // A device has one session under any policy: that one goes first.
        rivals.sort_by_key(|s| (!same_device(s, &new), s.created_at, s.id));
        let too_many = (rivals.len() + 1).saturating_sub(room);
        let of_this_device = rivals.iter().filter(|s| same_device(s, &new)).count();
        let mut ended = Vec::new();
        let mut replace = |session: &mut Session| {
            session.end(EndReason::Replaced, now);
            if is_other_device(session, &new) {
                ended.push(session.id);
            }
        };
        for session in rivals.into_iter().take(too_many.max(of_this_device)) {
            replace(session);
        }
        let live = self.sessions.iter_mut().filter(|s| s.is_live(now));
        let live: Vec<_> = live.collect();
        let surplus = (live.len() + 1).saturating_sub(MAX_LIVE);
        for session in live.into_iter().take(surplus) {
            replace(session);
        }
        self.sessions.push(new);
        Ok(ended)
    }

    /// Replaces the refresh token with its successor. A token that was used a moment ago, and whose successor
    /// was not, changes nothing: its client may have lost the response.
    ///
    /// # Errors
    /// [`RefreshRefusal::Reused`] has ended the session: the change must be stored.
    pub(super) fn refresh<'t>(
        &mut self,
        given: &RefreshToken,
        successors: &'t Successors,
        rules: &SessionRules,
        now: Timestamp,
    ) -> Result<(&mut Session, Rotation<'t>), RefreshRefusal> {
        let id = given.session;
        self.live(id, now)?;
        let session = self.sessions.iter_mut().find(|session| session.id == id);
        let session = session.ok_or(Refusal::Unknown)?;
        let issued = successors.with_digest(session.refresh);
        let issued = issued.filter(|_| rules.in_grace(session.refreshed_at, now));
        let now_ms = now.as_millisecond();
        if session.refresh == given.digest() {
            let expires_at = rules.expiry(session.created_at, now);
            if expires_at <= now_ms {
                return Err(Refusal::Expired.into());
            }
            let next = &successors.current;
            session.refresh = next.digest();
            session.refreshed_at = now_ms;
            session.expires_at = expires_at;
            let repeated = false;
            Ok((session, Rotation { next, repeated }))
        } else if let Some(next) = issued {
            // At the same time: this very refresh was written, and the store's reply was lost.
            let repeated = session.refreshed_at != now_ms;
            Ok((session, Rotation { next, repeated }))
        } else if session.family == given.family() {
            session.end(EndReason::RefreshReused, now);
            Err(RefreshRefusal::Reused)
        } else {
            // A guess: the session's id is not a secret.
            Err(Refusal::Unknown.into())
        }
    }

    /// Ends a live session; returns whether it was live.
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

    /// Ends all live sessions; returns them.
    pub fn end_all(&mut self, reason: EndReason, now: Timestamp) -> Vec<SessionId> {
        let live = self.sessions.iter_mut().filter(|s| s.is_live(now));
        live.map(|session| {
            session.end(reason, now);
            session.id
        })
        .collect()
    }

    /// Refuses sign-ins and ends all live sessions; returns those.
    pub(super) fn ban(&mut self, now: Timestamp) -> Vec<SessionId> {
        self.banned = true;
        self.end_all(EndReason::Banned, now)
    }

    /// Allows sign-ins again; devices that return are no longer reported the ban.
    pub(super) fn lift_ban(&mut self) {
        self.banned = false;
        let ended = self.sessions.iter_mut().filter_map(|s| s.ended.as_mut());
        for ended in ended.filter(|ended| ended.reason == EndReason::Banned) {
            ended.reason = EndReason::ByOperator;
        }
    }

    /// Live and remembered sessions, oldest first.
    pub fn all(&self) -> &[Session] {
        &self.sessions
    }

    /// How long this document is needed; `None` for ever.
    pub(super) fn ttl(&self, now: Timestamp) -> Option<Duration> {
        if self.banned {
            return None;
        }
        let ends = self.sessions.iter().map(|session| session.expires_at);
        let left = ends.max().unwrap_or(0).saturating_sub(now.as_millisecond());
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)).max(EMPTY_TTL))
    }

    /// Removes expired sessions and the oldest ended ones beyond [`MAX_ENDED`].
    fn prune(&mut self, now: Timestamp) {
        let now = now.as_millisecond();
        self.sessions.retain(|session| session.expires_at > now);
        let ended = self.sessions.iter().filter(|s| s.ended.is_some()).count();
        let mut surplus = ended.saturating_sub(MAX_ENDED - 1);
        self.sessions.retain(|session| {
            let remove = surplus > 0 && session.ended.is_some();
            surplus -= usize::from(remove);
            !remove
        });
    }
}

/// The valid refresh token of a session after a refresh.
#[derive(Clone, Copy)]
pub(super) struct Rotation<'t> {
    /// The token.
    pub(super) next: &'t RefreshToken,
    /// An earlier request has used the given token and received the same successor.
    pub(super) repeated: bool,
}

/// Why a refresh token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RefreshRefusal {
    /// The session is not usable, or has no such token.
    #[error(transparent)]
    Session(#[from] Refusal),
    /// It was used before, which has ended the session.
    #[error("the refresh token was used before")]
    Reused,
}

/// `now` plus `ttl`, Unix ms.
pub(super) fn after(now: Timestamp, ttl: Duration) -> i64 {
    let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    now.as_millisecond().saturating_add(ttl)
}

#[cfg(test)]
mod tests;
