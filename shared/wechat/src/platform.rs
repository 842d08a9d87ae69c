//! The platform with an access token: the one place that adds it to calls, and that has it replaced
//! when WeChat refuses it. The APIs themselves are in files of their own.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::request::Request;
use crate::{AccessTokens, AppId, ErrorClass, WechatClient, WechatError};

/// A client of the APIs that need an access token. Clones share connections and token.
#[derive(Clone, Debug)]
pub struct PlatformClient {
    wechat: WechatClient,
    tokens: Arc<dyn AccessTokens>,
}

impl PlatformClient {
    /// Puts a client and the source of its tokens together.
    pub fn new(wechat: WechatClient, tokens: Arc<dyn AccessTokens>) -> Self {
        Self { wechat, tokens }
    }

    pub(crate) fn app_id(&self) -> &AppId {
        self.wechat.app_id()
    }

    /// Calls with the current token, and once more with another when WeChat refuses it (a refused
    /// token has no effect, so this is safe for every API).
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
        tracing::warn!(error = %refusal, "WeChat refuses the access token; it is replaced");
        self.tokens.refused(&token).await.map_err(no_token)?;
        let another = self.tokens.current().await.map_err(no_token)?;
        if another == token {
            // There is no other for now, so the same call would have the same answer.
            return Err(refusal);
        }
        match self.wechat.call(&request.with_token(&another)).await {
            Err(WechatError::Api { code, rid, .. }) if code.class() == ErrorClass::RefreshToken => {
                tracing::error!(api = api.as_str(), %code, rid, "WeChat refuses a new access token");
                Err(WechatError::TokenRefused { api, code, rid })
            }
            other => other,
        }
    }
}
