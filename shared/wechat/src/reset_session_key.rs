//! `ResetUserSessionKey`: a new session key in place of one that may have leaked.
//!
//! `GET /wxa/resetusersessionkey`. The old key is dead at once, the new one lives as long as the old
//! one would have, and the player's client is not told.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::request::Request;
use crate::{Api, OpenId, PlatformClient, SessionKey, WechatError, login_signature};

impl PlatformClient {
    /// Replaces the player's session key. A call without an answer may have replaced it: see
    /// [`WechatError::may_have_taken_effect`]; only a new sign-in helps then.
    ///
    /// # Errors
    /// Any [`WechatError`]; one of class [`crate::ErrorClass::SignInAgain`] means that the key was not
    /// the player's any more. An answer about another player is [`WechatError::Malformed`].
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
        let answer: Answer = self.call(&request).await?;
        answer.into_key(open_id)
    }
}

#[derive(Deserialize)]
struct Answer {
    openid: Option<String>,
    session_key: Option<SecretString>,
}

impl Answer {
    fn into_key(self, open_id: &OpenId) -> Result<SessionKey, WechatError> {
        let malformed = |reason| WechatError::Malformed {
            api: Api::ResetSessionKey,
            reason,
        };
        if self.openid.as_deref() != Some(open_id.as_str()) {
            return Err(malformed("the answer is about another player"));
        }
        self.session_key
            .filter(|key| !key.expose_secret().is_empty())
            .map(SessionKey::new)
            .ok_or_else(|| malformed("the answer has no session_key"))
    }
}
