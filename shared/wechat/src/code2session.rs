//! `code2Session`: exchanges the code of `wx.login` for the player's identity.
//!
//! `GET /sns/jscode2session`. A code is valid for five minutes and single-use; this module never
//! retries, because a call without a response may have consumed the code.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::request::Request;
use crate::{Api, WechatClient, WechatError};

impl WechatClient {
    /// Exchanges a sign-in code. Consumes the code even when the response is lost: see
    /// [`WechatError::may_have_taken_effect`].
    ///
    /// # Errors
    /// Any [`WechatError`]; class [`crate::ErrorClass::SignInAgain`] means that the code is unknown,
    /// expired or already used. A response without `openid` or `session_key` is
    /// [`WechatError::Malformed`].
    pub async fn code2session(&self, code: &JsCode) -> Result<Code2Session, WechatError> {
        let settings = self.settings();
        let request = Request::get(Api::Code2Session)
            .with("appid", settings.app_id.as_str())
            .with("grant_type", "authorization_code")
            .with_secret("secret", settings.app_secret.expose_secret())
            .with_secret("js_code", code.0.expose_secret());
        let body: Body = self.call(&request).await?;
        body.into_session()
    }
}

/// The response on the wire, where every field may be missing.
#[derive(Deserialize)]
struct Body {
    openid: Option<String>,
    session_key: Option<SecretString>,
    unionid: Option<String>,
}

impl Body {
    fn into_session(self) -> Result<Code2Session, WechatError> {
        let malformed = |reason| WechatError::Malformed {
            api: Api::Code2Session,
            reason,
        };
        let open_id = self
            .openid
            .filter(|id| !id.is_empty())
            .ok_or_else(|| malformed("the response has no openid"))?;
        let session_key = self
            .session_key
            .filter(|key| !key.expose_secret().is_empty())
            .ok_or_else(|| malformed("the response has no session_key"))?;
        Ok(Code2Session {
            open_id: OpenId(open_id),
            session_key: SessionKey(session_key),
            union_id: self.unionid.filter(|id| !id.is_empty()).map(UnionId),
        })
    }
}

/// The identity of a player who signed in.
#[derive(Clone, Debug)]
pub struct Code2Session {
    /// Identifies the player within our app.
    pub open_id: OpenId,
    /// Signs and encrypts this player's data. Never leaves the server.
    pub session_key: SessionKey,
    /// Identifies the player across the apps of one Open Platform account; absent when ours is bound
    /// to none.
    pub union_id: Option<UnionId>,
}

/// The code of `wx.login`. Redacted by `Debug`.
#[derive(Clone)]
pub struct JsCode(SecretString);

impl JsCode {
    /// Maximum length in bytes; WeChat's codes have 32.
    pub const MAX_LEN: usize = 128;

    /// Parses a code sent by a client: 1 to [`Self::MAX_LEN`] visible ASCII characters.
    ///
    /// # Errors
    /// The rule that was violated.
    pub fn parse(code: &str) -> Result<Self, InvalidJsCode> {
        if code.is_empty() {
            return Err(InvalidJsCode::Empty);
        }
        if code.len() > Self::MAX_LEN {
            return Err(InvalidJsCode::TooLong);
        }
        if !code.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidJsCode::NotVisibleAscii);
        }
        Ok(Self(code.into()))
    }

    /// Returns the code itself. It allows signing in as the player, so do not log it.
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for JsCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsCode([REDACTED])")
    }
}

/// Reason why a text is not a valid sign-in code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJsCode {
    /// The code is empty.
    #[error("the code is empty")]
    Empty,
    /// More than [`JsCode::MAX_LEN`] bytes.
    #[error("the code is longer than {max} bytes", max = JsCode::MAX_LEN)]
    TooLong,
    /// The code has a space, a control character or a character outside ASCII.
    #[error("the code has characters other than visible ASCII")]
    NotVisibleAscii,
}

/// WeChat's `openid`: one player within one app.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpenId(String);

/// WeChat's `unionid`: one player across the apps of one Open Platform account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnionId(String);

macro_rules! id {
    ($name:ident) => {
        impl $name {
            /// Wraps an id that WeChat issued earlier, for example one read from a database.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// Returns the id as WeChat writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Converts into the id as WeChat writes it, without copying.
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(OpenId);
id!(UnionId);

/// WeChat's `session_key`, as the base64 text that WeChat sends (16 bytes decoded).
///
/// Stored as text because signatures use the text as their key while decryption uses the bytes.
#[derive(Clone, Debug)]
pub struct SessionKey(SecretString);

impl SessionKey {
    /// Wraps a key that WeChat issued earlier, for example one read from encrypted storage.
    pub fn new(key: SecretString) -> Self {
        Self(key)
    }

    /// Returns the base64 text. Must not leave the server or enter a log.
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn js_code_is_1_to_128_visible_ascii_characters() {
        assert!(JsCode::parse("0a1B2c3D-_~").is_ok());
        assert!(JsCode::parse(&"x".repeat(128)).is_ok());
        assert_eq!(JsCode::parse("").unwrap_err(), InvalidJsCode::Empty);
        assert_eq!(
            JsCode::parse(&"x".repeat(129)).unwrap_err(),
            InvalidJsCode::TooLong
        );
        for bad in ["a b", "a\n", "\u{7f}", "码"] {
            assert_eq!(
                JsCode::parse(bad).unwrap_err(),
                InvalidJsCode::NotVisibleAscii
            );
        }
    }

    #[test]
    fn ids_serialize_as_plain_strings() {
        let id = OpenId::new("oGZUI0egBJY1zhBYw2KhdUfwVJJE");
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, r#""oGZUI0egBJY1zhBYw2KhdUfwVJJE""#);
        assert_eq!(serde_json::from_str::<OpenId>(&json).unwrap(), id);
    }

    #[test]
    fn debug_redacts_code_and_session_key() {
        let shown = format!(
            "{:?} {:?}",
            JsCode::parse("the-code").unwrap(),
            SessionKey::new("the-key".into())
        );
        assert!(
            !shown.contains("the-code") && !shown.contains("the-key"),
            "{shown}"
        );
    }
}
