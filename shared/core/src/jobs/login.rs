//! Sign-in: `wx.login`'s code becomes a player, a session and a token.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use avalon_queue::{IdempotencyKey, Job, QueueName, RetryPolicy};
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ReadSecret;
use crate::accounts::sessions::SessionSecrets;
use crate::accounts::tokens::IssuedToken;
use crate::accounts::users::UserInfo;

/// Exchanges the code and signs the player in.
#[derive(Clone, Serialize, Deserialize)]
pub struct Login {
    /// From `wx.login`; single-use, lives five minutes.
    pub code: String,
    /// Device id that the client chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// Such as `ios`, `android`, `pc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// Invite code of another player.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite_code: Option<String>,
    /// Id of the share through which the game was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_id: Option<String>,
    /// Address of the client, if it sent an invitation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<IpAddr>,
    /// WeChat's scene value of how the game was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<i64>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

impl Job for Login {
    const QUEUE: QueueName = super::LOGIN;
    const KIND: &'static str = "login";
    // For as long as the code lives: `valid_for` ends it, not the number of attempts.
    const RETRY: RetryPolicy = RetryPolicy {
        max_attempts: 1000,
        base: Duration::from_millis(250),
        cap: Duration::from_secs(5),
    };
    const TIME_LIMIT: Duration = Duration::from_secs(15);
    // The result holds tokens: stored only as long as a client polls.
    const RESULT_TTL: Duration = Duration::from_secs(300);
    // The code is worthless after five minutes, so a later replay has no use; an outage of WeChat must
    // not fill the store.
    const DEAD_TTL: Option<Duration> = Some(Duration::from_secs(3600));
    type Output = SignedIn;

    /// One job per code and device: a repeat (double tap, lost answer) finds the first one, whoever repeats
    /// a used code from another device does not. A digest, since the code itself must not appear in keys.
    fn key(&self) -> Option<IdempotencyKey> {
        // Neither part has line breaks.
        let text = match &self.device_id {
            Some(device) => format!("{}\n{device}", self.code),
            None => self.code.clone(),
        };
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        Some(IdempotencyKey::new(hex::encode(digest), Self::SAME_ANSWER))
    }

    /// The result holds tokens: only who started the sign-in may read it.
    fn owner(&self) -> Option<String> {
        Some(ReadSecret::of_sign_in(self).owner())
    }

    /// A code lives five minutes; one that waited longer than this is not worth sending.
    fn valid_for(&self) -> Option<Duration> {
        Some(Duration::from_secs(290))
    }
}

impl Login {
    /// Time after the first job ended during which the same code gives the same device the same answer.
    pub const SAME_ANSWER: Duration = Duration::from_secs(60);
}

/// The answer to a sign-in.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedIn {
    /// The bearer token of all other routes (a JWT).
    pub token: String,
    /// Expiry of the token, Unix ms.
    pub expires: i64,
    /// Obtains the next token, once.
    pub refresh_token: String,
    /// Expiry of the refresh token, Unix ms.
    pub refresh_expires: i64,
    /// Signs requests: base64 of 32 bytes.
    pub signing_key: String,
    /// The player.
    pub user_info: UserInfo,
}

impl SignedIn {
    /// Combines a token, its session's secrets and its player.
    pub fn new(token: IssuedToken, secrets: SessionSecrets, user_info: UserInfo) -> Self {
        Self {
            token: token.token,
            expires: token.expires.as_millisecond(),
            refresh_token: secrets.refresh_token,
            refresh_expires: secrets.refresh_expires.as_millisecond(),
            signing_key: secrets.signing_key,
            user_info,
        }
    }
}

impl fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIn")
            .field("user", &self.user_info.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(code: &str, device: Option<&str>) -> Login {
        Login {
            code: code.to_owned(),
            device_id: device.map(str::to_owned),
            device_type: None,
            invite_code: None,
            share_id: None,
            client_ip: None,
            scene: None,
        }
    }

    #[test]
    fn key_depends_on_code_and_device() {
        let key = |login: Login| login.key().unwrap();
        let first = key(login("a", Some("d")));
        assert_eq!(first, key(login("a", Some("d"))));
        assert_ne!(first, key(login("a", Some("e"))));
        assert_ne!(first, key(login("a", None)));
        assert_ne!(first, key(login("b", Some("d"))));
        assert!(!format!("{:?}", login("secret-code", None)).contains("secret-code"));
    }
}
