//! Platform calls with an access token: the only place that adds the token to calls and has it
//! replaced when WeChat rejects it. Each API has a file of its own.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::request::Request;
use crate::{AccessTokens, AppId, ErrorClass, WechatClient, WechatError};

/// A client for the APIs that need an access token. Clones share connections and token.
#[derive(Clone, Debug)]
pub struct PlatformClient {
    wechat: WechatClient,
    tokens: Arc<dyn AccessTokens>,
}

impl PlatformClient {
    /// Creates a client that takes its tokens from `tokens`.
    pub fn new(wechat: WechatClient, tokens: Arc<dyn AccessTokens>) -> Self {
        Self { wechat, tokens }
    }

    pub(crate) fn app_id(&self) -> &AppId {
        self.wechat.app_id()
    }

    /// Calls with the current token, and retries once with another when WeChat rejects it. A call
    /// with a rejected token has no effect, so this is safe for every API.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        request: &Request<'_>,
    ) -> Result<T, WechatError> {
        let api = request.api;
        let no_token = |source| WechatError::NoToken { api, source };
        let token = self.tokens.current().await.map_err(no_token)?;
        let refusal = match self.wechat.call(&request.with_token(&token)).await {
            Err(error) if error.class() == ErrorClass::RefreshToken => error,
            other => return other,
        };
        tracing::warn!(error = %refusal, "WeChat rejected the access token, replacing it");
        self.tokens.refused(&token).await.map_err(no_token)?;
        let another = self.tokens.current().await.map_err(no_token)?;
        if another == token {
            // No other token is available yet, so a retry would be rejected as well.
            return Err(refusal);
        }
        match self.wechat.call(&request.with_token(&another)).await {
            Err(WechatError::Api { code, rid, .. }) if code.class() == ErrorClass::RefreshToken => {
                tracing::error!(%api, %code, rid, "WeChat rejected a new access token");
                Err(WechatError::TokenRefused { api, code, rid })
            }
            other => other,
        }
    }
}
