//! `checkSessionKey`: whether the session key that we keep is still the player's.
//!
//! `GET /wxa/checksession`. It changes nothing; a stale key is mended by a new sign-in.

use serde::de::IgnoredAny;

use crate::request::Request;
use crate::{Api, ErrorClass, OpenId, PlatformClient, SessionKey, WechatError, login_signature};

/// What WeChat says of a session key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionCheck {
    /// It is the player's.
    Valid,
    /// It was replaced or has expired: the player must sign in again.
    Stale,
}

impl PlatformClient {
    /// Asks whether this is the player's session key.
    ///
    /// # Errors
    /// Any [`WechatError`]; a stale key is not one.
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
            // 87009, and 87007 of a key that is gone altogether.
            Err(error) if error.class() == ErrorClass::SignInAgain => Ok(SessionCheck::Stale),
            Err(error) => Err(error),
        }
    }
}
