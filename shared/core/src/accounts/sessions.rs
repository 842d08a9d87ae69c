//! Sessions of players on devices: created at sign-in, renewed by refresh tokens, ended by the device
//! policy, the player, an operator or a ban. Once an end is acknowledged, every process refuses the session.
//!
//! `player` has the rules, `secrets` the credentials. Tokens are signed in `tokens`.
//!
//! | document | what |
//! |---|---|
//! | `sessions:USER` | all sessions of a player; expires unless the player is banned |
//! | `nonce:{TAG}:SESSION:NONCE` | a claimed nonce |
//! | `nonce-epoch:{TAG}` | since when nonces of this tag are complete |
//!
//! The braces keep the client's own text from choosing the node of a Redis Cluster, and a nonce with its epoch.

mod cache;
mod error;
mod nonces;
mod player;
mod refresh;
mod rules;
mod secrets;
mod session;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::base::ids::{SessionId, UserId};
use crate::storage::documents::{DocumentError, Documents, RedisDocuments};
use crate::storage::keyring::Keyring;
use cache::SessionCache;
use secrets::{RefreshToken, SealedKey};

pub use error::SessionError;
pub use player::{Banned, PlayerSessions};
pub use refresh::RefreshedSession;
pub use rules::SessionRules;
pub use secrets::{NoRandomness, SigningSecret};
pub use session::{Device, EndReason, Ended, LiveSession, Refusal, Session};

/// Longer than a healthy Redis takes, shorter than a player waits.
pub const REDIS_TIMEOUT: Duration = Duration::from_secs(1);

/// Attempts at a change that lose to concurrent ones. One of those succeeds each time, so only a very
/// large number at once for one player exhausts this.
const MAX_TRIES: u32 = 200;

/// Documents of sessions begin with this.
const PREFIX: &str = "sessions:";

/// Credentials that only the owner of a session receives.
pub struct SessionSecrets {
    /// Exchanged for the next token; valid once.
    pub refresh_token: String,
    /// When the session ends unless it is refreshed.
    pub refresh_expires: Timestamp,
    /// Key for signed requests: base64 of 32 bytes.
    pub signing_key: String,
}

/// A session created by a sign-in.
pub struct SignedInSession {
    /// Credentials of the new session.
    pub secrets: SessionSecrets,
    /// Sessions on other devices that it replaced.
    pub replaced: Vec<SessionId>,
}

/// The sessions of all players. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    store: Arc<dyn Documents>,
    keyring: Arc<Keyring>,
    rules: SessionRules,
    cache: Option<Arc<SessionCache>>,
}

impl Sessions {
    /// Stores sessions in `store` under `rules`.
    pub fn new(store: Arc<dyn Documents>, keyring: Arc<Keyring>, rules: SessionRules) -> Self {
        Self {
            store,
            keyring,
            rules,
            cache: None,
        }
    }

    /// Stores sessions in Redis. A process that looks sessions up keeps copies until Redis reports a change.
    pub fn in_redis(store: RedisDocuments, keyring: Arc<Keyring>, rules: SessionRules) -> Self {
        let cache = SessionCache::new(&store).map(Arc::new);
        Self {
            cache,
            ..Self::new(Arc::new(store), keyring, rules)
        }
    }

    /// Creates a session, and ends those that the device policy no longer allows.
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
        let refresh = RefreshToken::generate(user, id)?;
        let signing_key = SigningSecret::generate()?;
        let session = Session {
            id,
            open_id: open_id.to_owned(),
            device,
            created_at: now.as_millisecond(),
            refreshed_at: now.as_millisecond(),
            expires_at: self.rules.expiry(now.as_millisecond(), now),
            family: refresh.family(),
            refresh: refresh.digest(),
            signing_key: Some(SealedKey::seal(&self.keyring, id, &signing_key)?),
            ended: None,
        };
        let secrets = secrets(&refresh, session.expires_at, &signing_key);
        let replaced = self
            .change(user, now, |all| {
                all.sign_in(session.clone(), self.rules.policy, now)
            })
            .await??;
        Ok(SignedInSession { secrets, replaced })
    }

    /// Returns the player named in a refresh token. Only its syntax is checked.
    pub fn owner_of(token: &str) -> Option<UserId> {
        RefreshToken::parse(token).map(|token| token.user)
    }

    /// Returns the session if it is live. Every authenticated request calls this.
    ///
    /// # Errors
    /// [`SessionError::Refused`] with the reason if it is not.
    pub async fn live(
        &self,
        user: UserId,
        id: SessionId,
        now: Timestamp,
    ) -> Result<LiveSession, SessionError> {
        if let Some(session) = self.cached(user, id, now) {
            return Ok(session);
        }
        let all = match &self.cache {
            Some(cache) => cache.read(user, self.store.as_ref()).await?,
            None => Arc::new(self.of(user).await?),
        };
        Ok(LiveSession::of(all, id, now)?)
    }

    /// Returns the session if this process knows without asking the store that it is live.
    pub fn cached(&self, user: UserId, id: SessionId, now: Timestamp) -> Option<LiveSession> {
        self.cache.as_ref()?.live(user, id, now)
    }

    /// Opens the key that signs the session's requests.
    ///
    /// # Errors
    /// [`SessionError::Keyring`] when no key on the ring opens it: the session is unusable then.
    pub fn signing_key(&self, session: &Session) -> Result<SigningSecret, SessionError> {
        let sealed = session.signing_key.as_ref().ok_or(Refusal::Unknown)?;
        let opened = sealed.open(&self.keyring, session.id).inspect_err(|error| {
            tracing::error!(%error, session_id = %session.id, "cannot open a session's signing key, the player has to sign in again");
        });
        Ok(opened?)
    }

    /// Returns a player's live sessions and those that ended lately.
    ///
    /// # Errors
    /// The store's, or [`SessionError::Damaged`].
    pub async fn of(&self, user: UserId) -> Result<PlayerSessions, SessionError> {
        read(self.store.get(&document_of(user)).await?.as_deref())
    }

    /// Ends a session; returns whether it was live.
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
        let ended = self
            .change(user, now, |all| all.end(id, reason, now))
            .await?;
        self.copies_expire().await;
        Ok(ended)
    }

    /// Ends all sessions of a player; returns those that were live.
    ///
    /// # Errors
    /// The store's.
    pub async fn end_all(
        &self,
        user: UserId,
        reason: EndReason,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, SessionError> {
        let ended = self
            .change(user, now, |all| all.end_all(reason, now))
            .await?;
        self.copies_expire().await;
        Ok(ended)
    }

    /// Ends all sessions of a player and refuses new ones; returns those that were live. The ban must
    /// be in the player's row before.
    ///
    /// # Errors
    /// The store's.
    pub async fn ban(&self, user: UserId, now: Timestamp) -> Result<Vec<SessionId>, SessionError> {
        let ended = self.change(user, now, |all| all.ban(now)).await?;
        self.copies_expire().await;
        Ok(ended)
    }

    /// As [`Sessions::ban`], for a ban that the sessions should know; returns whether they did not.
    ///
    /// # Errors
    /// The store's.
    pub async fn restore_ban(&self, user: UserId, now: Timestamp) -> Result<bool, SessionError> {
        self.change(user, now, |all| {
            let known = all.banned;
            !all.ban(now).is_empty() || !known
        })
        .await
    }

    /// Allows a player to sign in again.
    ///
    /// # Errors
    /// The store's.
    pub async fn lift_ban(&self, user: UserId, now: Timestamp) -> Result<(), SessionError> {
        self.change(user, now, PlayerSessions::lift_ban).await
    }

    /// Removes all that is stored of a player's sessions, which ends them.
    ///
    /// # Errors
    /// The store's.
    pub async fn erase(&self, user: UserId) -> Result<(), SessionError> {
        let key = document_of(user);
        for _ in 0..MAX_TRIES {
            let Some(seen) = self.store.get(&key).await? else {
                self.forget(user);
                self.copies_expire().await;
                return Ok(());
            };
            self.store.remove(&key, &seen).await?;
        }
        Err(contended())
    }

    /// Changes a player's sessions by compare-and-set, with retries. A change without effect is not
    /// written. A write may have happened although its reply was lost, so `change` must recognise its
    /// own result.
    async fn change<T>(
        &self,
        user: UserId,
        now: Timestamp,
        mut change: impl FnMut(&mut PlayerSessions) -> T,
    ) -> Result<T, SessionError> {
        let key = document_of(user);
        let mut lost = 0;
        for tries in 0..MAX_TRIES {
            let seen = self.store.get(&key).await?;
            let before = read(seen.as_deref())?;
            let mut all = before.clone();
            let result = change(&mut all);
            if all == before {
                return Ok(result);
            }
            let new = serde_json::to_string(&all).map_err(|_| SessionError::Damaged)?;
            let (seen, ttl) = (seen.as_deref(), all.ttl(now));
            match self.store.replace(&key, seen, &new, ttl).await {
                Ok(true) => {
                    self.forget(user);
                    return Ok(result);
                }
                Ok(false) => {}
                Err(DocumentError::Unavailable(_)) if lost == 0 => lost += 1,
                Err(error) => return Err(error.into()),
            }
            if tries > 0 {
                // Under contention, retries must not coincide.
                let pause = Duration::from_micros(fastrand::u64(0..2000));
                tokio::time::sleep(pause).await;
            }
        }
        Err(contended())
    }

    /// Waits until no process uses a copy from before, whether Redis' invalidation has reached it or not. A sign-in
    /// does not wait for it: the session that it replaces is another device's.
    async fn copies_expire(&self) {
        if self.cache.is_some() {
            tokio::time::sleep(SessionCache::LEASE).await;
        }
    }

    /// Other processes learn of a change from Redis, this one at once.
    fn forget(&self, user: UserId) {
        if let Some(cache) = &self.cache {
            cache.forget(user);
        }
    }
}

fn contended() -> SessionError {
    let why = "too many concurrent changes of one player's sessions";
    DocumentError::Unavailable(why.to_owned()).into()
}

fn document_of(user: UserId) -> String {
    format!("{PREFIX}{user}")
}

fn user_of(document: &str) -> Option<UserId> {
    document.strip_prefix(PREFIX)?.parse().ok()
}

fn read(document: Option<&str>) -> Result<PlayerSessions, SessionError> {
    match document {
        None => Ok(PlayerSessions::default()),
        // serde's error is dropped, since it may quote the document.
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
