//! Sessions of players on devices: made at sign-in, renewed by refresh tokens, ended by the device
//! policy, the player, an operator or a ban. An ended one is refused by every process at once.
//!
//! `player` has the rules, `store` is the port behind them with an engine each for Redis and the
//! database; `secrets` what only a session's owner knows. Tokens are signed elsewhere (`tokens`).

mod player;
mod redis;
mod secrets;
mod sql;
mod store;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::accounts::config::DevicePolicy;
use crate::base::ids::{SessionId, UserId};
use crate::base::problem::ProblemCode;
use crate::storage::keyring::{Keyring, KeyringError};
use player::{RefreshRefusal, after};
use secrets::{RefreshToken, SealedKey};

pub use player::{Banned, Device, EndReason, Ended, PlayerSessions, Refusal, Session};
pub use redis::RedisSessions;
pub use secrets::{NoRandomness, SigningSecret};
pub use sql::SqlSessions;
pub use store::{SessionStore, SessionStoreError};

/// How often a change is tried again because somebody else's was faster. Each time one of them has
/// come through, so only very many at once for one player get here.
const MOST_TRIES: u32 = 200;

/// What was asked of the sessions was not done.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The store.
    #[error(transparent)]
    Store(#[from] SessionStoreError),
    /// The session does not count.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The player may not sign in.
    #[error(transparent)]
    Banned(#[from] Banned),
    /// The refresh token was spent before; its session of this player is over now.
    #[error("the refresh token was spent before")]
    RefreshReused(UserId, SessionId),
    /// A key could not be sealed or opened.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// No secret could be made up.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// What is kept of the player's sessions can't be read.
    #[error("a player's sessions are damaged")]
    Damaged,
}

impl SessionError {
    /// Whether the same may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(SessionStoreError::Unavailable(_)))
    }

    /// What a client is told.
    pub fn code(&self) -> ProblemCode {
        match self {
            Self::Store(SessionStoreError::Unavailable(_)) => ProblemCode::SessionsUnavailable,
            Self::Refused(refusal) => refusal.code(),
            Self::Banned(Banned) => ProblemCode::UserBanned,
            Self::RefreshReused(..) => ProblemCode::RefreshTokenReused,
            // Its key can't be had any more, so the session is over: a sign-in makes another one.
            Self::Keyring(KeyringError::UnknownKey | KeyringError::Tampered) => {
                ProblemCode::SessionEnded
            }
            Self::Store(SessionStoreError::Refused(_))
            | Self::Keyring(_)
            | Self::Random(_)
            | Self::Damaged => ProblemCode::Internal,
        }
    }
}

impl Refusal {
    /// What a client is told.
    pub fn code(self) -> ProblemCode {
        match self {
            Self::Unknown => ProblemCode::Unauthenticated,
            Self::Expired => ProblemCode::SessionExpired,
            Self::Ended(EndReason::Replaced) => ProblemCode::SessionReplaced,
            Self::Ended(EndReason::Banned) => ProblemCode::UserBanned,
            Self::Ended(EndReason::RefreshReused) => ProblemCode::RefreshTokenReused,
            Self::Ended(EndReason::SignedOut | EndReason::ByOperator) => ProblemCode::SessionEnded,
        }
    }
}

/// What only the owner of a session is told.
pub struct SessionSecrets {
    /// Buys the next token; good once.
    pub refresh_token: String,
    /// When the session ends unless it is refreshed.
    pub refresh_expires: Timestamp,
    /// Signs the player's requests: base64 of 32 bytes.
    pub signing_key: String,
}

/// A sign-in's session.
pub struct SignedInSession {
    /// For its owner.
    pub secrets: SessionSecrets,
    /// The sessions of other devices that ended for it.
    pub replaced: Vec<SessionId>,
}

/// A session after its refresh.
pub struct RefreshedSession {
    /// Whose it is.
    pub user: UserId,
    /// Which.
    pub id: SessionId,
    /// The player's openid.
    pub open_id: String,
    /// For its owner.
    pub secrets: SessionSecrets,
}

/// All sessions. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    store: Arc<dyn SessionStore>,
    keyring: Arc<Keyring>,
    policy: DevicePolicy,
    ttl: Duration,
}

impl Sessions {
    /// Sessions in `store`, under `policy`; each lives `ttl` without being refreshed.
    pub fn new(
        store: Arc<dyn SessionStore>,
        keyring: Arc<Keyring>,
        policy: DevicePolicy,
        ttl: Duration,
    ) -> Self {
        Self {
            store,
            keyring,
            policy,
            ttl,
        }
    }

    /// Makes a session, and ends those that the device policy has no more room for.
    ///
    /// # Errors
    /// [`SessionError::Banned`], or the store's.
    pub async fn sign_in(
        &self,
        user: UserId,
        open_id: &str,
        id: SessionId,
        device: Device,
        now: Timestamp,
    ) -> Result<SignedInSession, SessionError> {
        let refresh = RefreshToken::make_up(user, id)?;
        let signing_key = SigningSecret::make_up()?;
        let session = Session {
            id,
            open_id: open_id.to_owned(),
            device,
            created_at: now.as_millisecond(),
            refreshed_at: now.as_millisecond(),
            expires_at: after(now, self.ttl),
            family: refresh.family(),
            refresh: refresh.digest(),
            signing_key: Some(SealedKey::seal(&self.keyring, id, &signing_key)?),
            ended: None,
        };
        let secrets = secrets(&refresh, session.expires_at, &signing_key);
        let replaced = self
            .change(user, now, |all| {
                all.sign_in(session.clone(), self.policy, now)
            })
            .await??;
        Ok(SignedInSession { secrets, replaced })
    }

    /// Whose refresh token this claims to be. Nothing is checked but its form.
    pub fn owner_of(token: &str) -> Option<UserId> {
        RefreshToken::parse(token).map(|token| token.user)
    }

    /// Spends a refresh token for the next one. The signing key stays.
    ///
    /// # Errors
    /// [`SessionError::RefreshReused`] when it was spent before: the session is over then. Any other
    /// [`SessionError`].
    pub async fn refresh(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<RefreshedSession, SessionError> {
        let given = RefreshToken::parse(token).ok_or(Refusal::Unknown)?;
        let (user, id) = (given.user, given.session);
        let next = given.next()?;
        // Opened before the token is spent: a key that is gone must not cost the session. Sealed again,
        // so that a session that goes on for ever does not hold on to an old key.
        let signing_key = self.signing_key(&self.live(user, id, now).await?)?;
        let sealed = SealedKey::seal(&self.keyring, id, &signing_key)?;
        let refreshed = self
            .change(user, now, |all| {
                let session = all.refresh(&given, &next, self.ttl, now)?;
                session.signing_key = Some(sealed.clone());
                Ok(session.clone())
            })
            .await?;
        let session = refreshed.map_err(|refusal| match refusal {
            RefreshRefusal::Reused => SessionError::RefreshReused(user, id),
            RefreshRefusal::Session(refusal) => refusal.into(),
        })?;
        Ok(RefreshedSession {
            user,
            id,
            secrets: secrets(&next, session.expires_at, &signing_key),
            open_id: session.open_id,
        })
    }

    /// The session, if it lives. This is what every request with a token asks.
    ///
    /// # Errors
    /// [`SessionError::Refused`] says why it does not count.
    pub async fn live(
        &self,
        user: UserId,
        id: SessionId,
        now: Timestamp,
    ) -> Result<Session, SessionError> {
        let all = self.of(user).await?;
        Ok(all.live(id, now)?.clone())
    }

    /// The key that signs the session's requests.
    ///
    /// # Errors
    /// [`SessionError::Keyring`] when no key on the ring opens it: the session is worth nothing any more.
    pub fn signing_key(&self, session: &Session) -> Result<SigningSecret, SessionError> {
        let sealed = session.signing_key.as_ref().ok_or(Refusal::Unknown)?;
        let opened = sealed.open(&self.keyring, session.id).inspect_err(|error| {
            tracing::error!(%error, session_id = %session.id, "a session's signing key can't be opened: the player has to sign in again");
        });
        Ok(opened?)
    }

    /// Takes a nonce for a session; `false`: it was taken within the last `keep`.
    ///
    /// # Errors
    /// The store's.
    pub async fn claim_nonce(
        &self,
        session: SessionId,
        nonce: &str,
        keep: Duration,
    ) -> Result<bool, SessionError> {
        Ok(self.store.claim_nonce(session, nonce, keep).await?)
    }

    /// All that is remembered of a player's sessions.
    ///
    /// # Errors
    /// The store's, or [`SessionError::Damaged`].
    pub async fn of(&self, user: UserId) -> Result<PlayerSessions, SessionError> {
        read(self.store.load(user).await?.as_deref())
    }

    /// Ends a session; whether it was a live one.
    ///
    /// # Errors
    /// The store's.
    pub async fn end(
        &self,
        user: UserId,
        id: SessionId,
        reason: EndReason,
        now: Timestamp,
    ) -> Result<bool, SessionError> {
        self.change(user, now, |all| all.end(id, reason, now)).await
    }

    /// Ends all sessions of a player; gives those that lived.
    ///
    /// # Errors
    /// The store's.
    pub async fn end_all(
        &self,
        user: UserId,
        reason: EndReason,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, SessionError> {
        self.change(user, now, |all| all.end_all(reason, now)).await
    }

    /// Ends all sessions of a player and makes no more; gives those that lived. The player's row
    /// says so first.
    ///
    /// # Errors
    /// The store's.
    pub async fn ban(&self, user: UserId, now: Timestamp) -> Result<Vec<SessionId>, SessionError> {
        self.change(user, now, |all| all.ban(now)).await
    }

    /// Lets a player sign in again.
    ///
    /// # Errors
    /// The store's.
    pub async fn lift_ban(&self, user: UserId, now: Timestamp) -> Result<(), SessionError> {
        self.change(user, now, PlayerSessions::lift_ban).await
    }

    /// Changes a player's sessions: read, change, and write if nobody else wrote meanwhile, else
    /// again. What changes nothing is not written. A write may have happened although its answer was
    /// lost, so a change must know its own work when it sees it.
    async fn change<T>(
        &self,
        user: UserId,
        now: Timestamp,
        mut change: impl FnMut(&mut PlayerSessions) -> T,
    ) -> Result<T, SessionError> {
        let mut lost = 0;
        for tries in 0..MOST_TRIES {
            let seen = self.store.load(user).await?;
            let before = read(seen.as_deref())?;
            let mut all = before.clone();
            let answer = change(&mut all);
            if all == before {
                return Ok(answer);
            }
            let new = serde_json::to_string(&all).map_err(|_| SessionError::Damaged)?;
            let (seen, expires_at) = (seen.as_deref(), all.expires_at(now));
            match self.store.replace(user, seen, &new, expires_at).await {
                Ok(true) => return Ok(answer),
                Ok(false) => {}
                Err(SessionStoreError::Unavailable(_)) if lost == 0 => lost += 1,
                Err(error) => return Err(error.into()),
            }
            if tries > 0 {
                // Many at once: not all of them again at the same moment.
                let pause = Duration::from_micros(fastrand::u64(0..2000));
                tokio::time::sleep(pause).await;
            }
        }
        let why = "too many changes of one player's sessions at once";
        Err(SessionStoreError::Unavailable(why.to_owned()).into())
    }
}

fn read(document: Option<&str>) -> Result<PlayerSessions, SessionError> {
    match document {
        None => Ok(PlayerSessions::default()),
        // No serde error is kept: it may quote the document.
        Some(document) => serde_json::from_str(document).map_err(|_| SessionError::Damaged),
    }
}

fn secrets(refresh: &RefreshToken, expires_at: i64, signing_key: &SigningSecret) -> SessionSecrets {
    SessionSecrets {
        refresh_token: refresh.expose().to_owned(),
        refresh_expires: Timestamp::from_millisecond(expires_at).unwrap_or(Timestamp::MAX),
        signing_key: signing_key.to_base64(),
    }
}
