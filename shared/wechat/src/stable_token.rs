//! `stable_token`: the access token of the app, which every other call of the platform carries.
//!
//! `POST /cgi-bin/stable_token`. Only the holder of the fleet's token may call this: a forced call
//! makes the token of everyone else useless.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use crate::request::Request;
use crate::{AccessToken, Api, WechatClient, WechatError};

/// How a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenMode {
    /// The token of now, with what is left of its life; WeChat renews it in its last five minutes.
    Normal,
    /// A new one at the cost of the one before. WeChat allows 20 a day, 30 s apart; one that comes too
    /// soon gets the token of now.
    Forced,
}

/// A token and how long it is good.
#[derive(Clone, Debug)]
pub struct FetchedToken {
    /// The token.
    pub token: AccessToken,
    /// What is left of its life, from the moment WeChat answered.
    pub expires_in: Duration,
}

impl WechatClient {
    /// Asks for the access token.
    ///
    /// # Errors
    /// Any [`WechatError`]; wrong credentials are of class [`crate::ErrorClass::Misconfigured`]. An
    /// answer without a token or with no life left in it is [`WechatError::Malformed`].
    pub async fn stable_token(&self, mode: TokenMode) -> Result<FetchedToken, WechatError> {
        let settings = self.settings();
        let secret = settings.app_secret.expose_secret();
        let body = json!({
            "grant_type": "client_credential",
            "appid": settings.app_id.as_str(),
            "secret": secret,
            "force_refresh": mode == TokenMode::Forced,
        });
        let request = Request::post_with_secret(Api::StableToken, &body, secret);
        let answer: Answer = self.call(&request).await?;
        answer.into_token()
    }
}

/// The answer as WeChat writes it, where every field may be missing.
#[derive(Deserialize)]
struct Answer {
    access_token: Option<SecretString>,
    expires_in: Option<u64>,
}

impl Answer {
    fn into_token(self) -> Result<FetchedToken, WechatError> {
        let malformed = |reason| WechatError::Malformed {
            api: Api::StableToken,
            reason,
        };
        let token = self
            .access_token
            .filter(|token| !token.expose_secret().is_empty())
            .ok_or_else(|| malformed("the answer has no access_token"))?;
        let expires_in = self
            .expires_in
            .filter(|seconds| *seconds > 0)
            .ok_or_else(|| malformed("the access_token has no time left"))?;
        Ok(FetchedToken {
            token: AccessToken::new(token),
            expires_in: Duration::from_secs(expires_in),
        })
    }
}
