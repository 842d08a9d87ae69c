//! `stable_token`: the app's access token, which all other platform calls carry.
//!
//! `POST /cgi-bin/stable_token`. Only the process that holds the fleet's token lock may call this: a
//! forced refresh invalidates the token of all other processes.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use crate::request::Request;
use crate::{AccessToken, Api, WechatClient, WechatError};

/// Refresh mode of a token request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenMode {
    /// Returns the current token with its remaining lifetime; WeChat renews it in its last five
    /// minutes.
    Normal,
    /// Issues a new token and invalidates the previous one. WeChat allows 20 a day, 30 s apart;
    /// earlier requests return the current token.
    Forced,
}

/// A token and its remaining lifetime.
#[derive(Clone, Debug)]
pub struct FetchedToken {
    /// The issued or current token.
    pub token: AccessToken,
    /// Remaining lifetime at the time of WeChat's response.
    pub expires_in: Duration,
}

impl WechatClient {
    /// Fetches the access token.
    ///
    /// # Errors
    /// Any [`WechatError`]; wrong credentials are of class [`crate::ErrorClass::Misconfigured`]. A
    /// response without a token or with an expired one is [`WechatError::Malformed`].
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
        let response: Response = self.call(&request).await?;
        response.into_token()
    }
}

/// The response on the wire, where every field may be missing.
#[derive(Deserialize)]
struct Response {
    access_token: Option<SecretString>,
    expires_in: Option<u64>,
}

impl Response {
    fn into_token(self) -> Result<FetchedToken, WechatError> {
        let malformed = |reason| WechatError::Malformed {
            api: Api::StableToken,
            reason,
        };
        let token = self
            .access_token
            .filter(|token| !token.expose_secret().is_empty())
            .ok_or_else(|| malformed("the response has no access_token"))?;
        let expires_in = self
            .expires_in
            .filter(|seconds| *seconds > 0)
            .ok_or_else(|| malformed("the access_token has already expired"))?;
        Ok(FetchedToken {
            token: AccessToken::new(token),
            expires_in: Duration::from_secs(expires_in),
        })
    }
}
