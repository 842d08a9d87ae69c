//! `code2Session`: exchanges the code of `wx.login` for who the player is.
//!
//! `GET /sns/jscode2session`. A code lives five minutes and works once; this module never repeats a
//! call, because a call without an answer may have spent the code.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::request::Request;
use crate::{Api, WechatClient, WechatError};

impl WechatClient {
    /// Exchanges a sign-in code. Spends the code, also when the answer is lost on the way: see
    /// [`WechatError::may_have_taken_effect`].
    ///
    /// # Errors
    /// Any [`WechatError`]; one of class [`crate::ErrorClass::SignInAgain`] means a code that is
    /// unknown, expired or spent. An answer without `openid` or `session_key` is
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

/// The answer as WeChat writes it, where every field may be missing.
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
            .ok_or_else(|| malformed("the answer has no openid"))?;
        let session_key = self
            .session_key
            .filter(|key| !key.expose_secret().is_empty())
            .ok_or_else(|| malformed("the answer has no session_key"))?;
        Ok(Code2Session {
            open_id: OpenId(open_id),
            session_key: SessionKey(session_key),
            union_id: self.unionid.filter(|id| !id.is_empty()).map(UnionId),
        })
    }
}

/// Who signed in.
#[derive(Clone, Debug)]
pub struct Code2Session {
    /// The player within our app.
    pub open_id: OpenId,
    /// The key that WeChat signs and encrypts this player's data with. Never leaves the server.
    pub session_key: SessionKey,
    /// The player across the apps of one Open Platform account; absent when ours is bound to none.
    pub union_id: Option<UnionId>,
}

/// The code of `wx.login`, on its way to WeChat. `Debug` does not show it.
#[derive(Clone)]
pub struct JsCode(SecretString);

impl JsCode {
    /// The longest code taken, in bytes; WeChat's have 32.
    pub const MAX_LEN: usize = 128;

    /// Takes what a client sent, when it could be a code at all: 1 to [`Self::MAX_LEN`] visible ASCII
    /// characters.
    ///
    /// # Errors
    /// Says which of these rules was broken.
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

    /// The code itself. Whoever has it can sign in as the player: do not log it.
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for JsCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsCode([REDACTED])")
    }
}

/// Why something is not a sign-in code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJsCode {
    /// Nothing was given.
    #[error("the code is empty")]
    Empty,
    /// More than [`JsCode::MAX_LEN`] bytes.
    #[error("the code is longer than {max} bytes", max = JsCode::MAX_LEN)]
    TooLong,
    /// It has a space, a control character or a character outside ASCII.
    #[error("the code has characters other than visible ASCII")]
    NotVisibleAscii,
}

/// WeChat's `openid`: one player within one app.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpenId(String);

/// WeChat's `unionid`: one player across the apps of one Open Platform account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnionId(String);

macro_rules! id {
    ($name:ident) => {
        impl $name {
            /// Wraps an id that came from WeChat before, for example out of a database.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as WeChat writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The id as WeChat writes it, without a copy.
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
/// Kept as text because signatures use the text as their key while decryption uses the bytes.
#[derive(Clone, Debug)]
pub struct SessionKey(SecretString);

impl SessionKey {
    /// Wraps a key that came from WeChat before, for example out of encrypted storage.
    pub fn new(key: SecretString) -> Self {
        Self(key)
    }

    /// The base64 text. Must not leave the server or enter a log.
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_1_to_128_visible_ascii_characters() {
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
    fn debug_shows_neither_code_nor_session_key() {
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
