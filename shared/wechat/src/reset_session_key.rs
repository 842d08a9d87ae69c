//! `ResetUserSessionKey`: replaces a session key that may have leaked.
//!
//! `GET /wxa/resetusersessionkey`. The old key becomes invalid immediately, the new one expires when
//! the old one would have, and the player's client is not notified.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::request::Request;
use crate::{Api, OpenId, PlatformClient, SessionKey, WechatError, login_signature};

impl PlatformClient {
    /// Replaces the player's session key. A failed call may have replaced it (see
    /// [`WechatError::may_have_taken_effect`]); the player must then sign in again.
    ///
    /// # Errors
    /// Any [`WechatError`]; class [`crate::ErrorClass::SignInAgain`] means that the key was already
    /// stale. A response about another player is [`WechatError::Malformed`].
    pub async fn reset_session_key(
        &self,
        open_id: &OpenId,
        session_key: &SessionKey,
    ) -> Result<SessionKey, WechatError> {
        let signature = login_signature::sign(session_key, b"");
        let request = Request::get(Api::ResetSessionKey)
            .with("openid", open_id.as_str())
            .with("sig_method", login_signature::METHOD)
            .with_secret("signature", &signature);
        let response: Response = self.call(&request).await?;
        response.into_key(open_id)
    }
}

#[derive(Deserialize)]
struct Response {
    openid: Option<String>,
    session_key: Option<SecretString>,
}

impl Response {
    fn into_key(self, open_id: &OpenId) -> Result<SessionKey, WechatError> {
        let malformed = |reason| WechatError::Malformed {
            api: Api::ResetSessionKey,
            reason,
        };
        if self.openid.as_deref() != Some(open_id.as_str()) {
            return Err(malformed("the response is about another player"));
        }
        self.session_key
            .filter(|key| !key.expose_secret().is_empty())
            .map(SessionKey::new)
            .ok_or_else(|| malformed("the response has no session_key"))
    }
}
