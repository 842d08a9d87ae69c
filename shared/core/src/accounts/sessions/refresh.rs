//! Exchanging a refresh token for the next one.

use jiff::Timestamp;

use super::player::RefreshRefusal;
use super::secrets::{RefreshToken, SealedKey};
use super::session::Refusal;
use super::{SessionError, SessionSecrets, Sessions, secrets};
use crate::base::ids::{SessionId, UserId};

/// A session after its refresh.
pub struct RefreshedSession {
    /// The player.
    pub user: UserId,
    /// The session.
    pub id: SessionId,
    /// The player's openid.
    pub open_id: String,
    /// When the refresh token was used first: a repeat is answered as that request was.
    pub at: Timestamp,
    /// The token was used before, within the grace period.
    pub repeated: bool,
    /// The new credentials.
    pub secrets: SessionSecrets,
}

impl Sessions {
    /// Exchanges a refresh token for the next one. The signing key stays. Within the grace period, and
    /// while its successor is unused, the same token is answered with the same successor.
    ///
    /// # Errors
    /// [`SessionError::RefreshReused`] when it was used before, which ends the session. Any other
    /// [`SessionError`].
    pub async fn refresh(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<RefreshedSession, SessionError> {
        let given = RefreshToken::parse(token).ok_or(Refusal::Unknown)?;
        let (user, id) = (given.user, given.session);
        let successors = given.successors(&self.keyring);
        // Opened before the token is used up: a missing key must not cost the session. Sealed again, so
        // that a session that is refreshed for long does not depend on an old key.
        let signing_key = self.signing_key(self.of(user).await?.live(id, now)?)?;
        let sealed = SealedKey::seal(&self.keyring, id, &signing_key)?;
        let refreshed = self
            .change(user, now, |all| {
                let (session, rotation) = all.refresh(&given, &successors, &self.rules, now)?;
                if !rotation.repeated {
                    session.signing_key = Some(sealed.clone());
                }
                Ok((session.clone(), rotation))
            })
            .await?;
        let (session, rotation) = refreshed.map_err(|refusal| match refusal {
            RefreshRefusal::Reused => SessionError::RefreshReused(user, id),
            RefreshRefusal::Session(refusal) => refusal.into(),
        })?;
        Ok(RefreshedSession {
            user,
            id,
            at: Timestamp::from_millisecond(session.refreshed_at).unwrap_or(now),
            repeated: rotation.repeated,
            secrets: secrets(rotation.next, session.expires_at, &signing_key),
            open_id: session.open_id,
        })
    }
}
