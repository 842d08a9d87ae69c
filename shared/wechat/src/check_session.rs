//! `checkSessionKey`: checks whether a stored session key is still valid for the player.
//!
//! `GET /wxa/checksession`. Read-only; a stale key is replaced by a new sign-in.

use serde::de::IgnoredAny;

use crate::request::Request;
use crate::{Api, ErrorClass, OpenId, PlatformClient, SessionKey, WechatError, login_signature};

/// Result of checking a session key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionCheck {
    /// The key is current.
    Valid,
    /// The key was replaced or has expired: the player must sign in again.
    Stale,
}

impl PlatformClient {
    /// Checks whether `session_key` is the player's current one.
    ///
    /// # Errors
    /// Any [`WechatError`]; a stale key is not an error.
    pub async fn check_session(
        &self,
        open_id: &OpenId,
        session_key: &SessionKey,
    ) -> Result<SessionCheck, WechatError> {
        let signature = login_signature::sign(session_key, b"");
        let request = Request::get(Api::CheckSession)
            .with("openid", open_id.as_str())
            .with("sig_method", login_signature::METHOD)
            .with_secret("signature", &signature);
        match self.call::<IgnoredAny>(&request).await {
            Ok(_) => Ok(SessionCheck::Valid),
            // 87009, or 87007 for a key that no longer exists.
            Err(error) if error.class() == ErrorClass::SignInAgain => Ok(SessionCheck::Stale),
            Err(error) => Err(error),
        }
    }
}
