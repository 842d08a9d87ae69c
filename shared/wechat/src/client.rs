//! The HTTP side of platform calls: sending, timeouts, bounded responses, `errcode`, metrics, logging.
//!
//! Does not know what an API returns and never retries: retrying is up to the caller.

use std::fmt;
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use url::{Host, Url};

use crate::breaker::{Breakers, Ended};
use crate::metrics::outcome_label;
use crate::request::Request;
use crate::{Api, WechatError, WechatMetrics, response};

/// Larger than any JSON response of WeChat; a longer body is not from WeChat.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// WeChat's id of our mini-game (`wx` and 16 hex digits).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AppId(String);

impl AppId {
    /// Wraps an app id from configuration; only WeChat validates it (40013).
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// Returns the id as WeChat writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Address and credentials of the WeChat platform.
#[derive(Clone, Debug)]
pub struct WechatSettings {
    /// Id of our mini-game.
    pub app_id: AppId,
    /// AppSecret that belongs to `app_id`.
    pub app_secret: SecretString,
    /// Base URL of the APIs, by default `https://api.weixin.qq.com`; its path becomes a prefix.
    pub api_base: Url,
    /// Timeout for connecting, including the TLS handshake.
    pub connect_timeout: Duration,
    /// Timeout for a whole call, from connecting to the last byte of the response.
    pub request_timeout: Duration,
}

/// Reason why a client could not be created.
#[derive(Debug, thiserror::Error)]
pub enum WechatClientError {
    /// `api_base` is not usable as a base URL.
    #[error("the WeChat API base must be an http or https URL without query and fragment")]
    ApiBase,
    /// The HTTP client could not be built, for example because no CA certificates were found.
    #[error("the HTTP client could not be built")]
    Http(#[source] reqwest::Error),
}

/// A client of WeChat's platform with its own connection pool. Clones share the pool.
#[derive(Clone, Debug)]
pub struct WechatClient {
    http: reqwest::Client,
    settings: WechatSettings,
    metrics: WechatMetrics,
    breakers: Breakers,
}

impl WechatClient {
    /// Creates a client without connecting.
    ///
    /// # Errors
    /// When `api_base` is not a plain http(s) URL, or the TLS setup fails.
    pub fn new(
        settings: WechatSettings,
        metrics: WechatMetrics,
    ) -> Result<Self, WechatClientError> {
        let base = &settings.api_base;
        if !matches!(base.scheme(), "http" | "https")
            || base.query().is_some()
            || base.fragment().is_some()
        {
            return Err(WechatClientError::ApiBase);
        }
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("avalon-wx/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.request_timeout)
            // The query holds the secret, which must only go to the configured host.
            .redirect(Policy::none())
            // A call may consume a sign-in code, so nothing may be resent implicitly.
            .retry(reqwest::retry::never());
        if is_loopback(base) {
            // Proxy settings such as HTTP_PROXY must not apply to a local simulator.
            http = http.no_proxy();
        }
        let http = http.build().map_err(WechatClientError::Http)?;
        Ok(Self {
            http,
            settings,
            metrics,
            breakers: Breakers::default(),
        })
    }

    /// Returns the id of the mini-game on whose behalf it calls.
    pub fn app_id(&self) -> &AppId {
        &self.settings.app_id
    }

    pub(crate) fn settings(&self) -> &WechatSettings {
        &self.settings
    }

    /// Calls a platform API. The request's `secret` values never appear in errors or logs, even when
    /// WeChat echoes them.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        request: &Request<'_>,
    ) -> Result<T, WechatError> {
        let api = request.api;
        let started = Instant::now();
        let permit = self
            .breakers
            .admit(api, started)
            .map_err(|retry_after| WechatError::Paused { api, retry_after })?;
        let sent = request.to_http(&self.http, self.endpoint(api));
        let result = match exchange(api, sent).instrument(api.span()).await {
            Ok(body) => response::parse(api, &body, &request.secrets()),
            Err(error) => Err(error),
        };
        let error = result.as_ref().err();
        permit.ended(
            error.map_or(Ended::Answered, WechatError::ended),
            Instant::now(),
        );
        self.metrics.circuit(api, self.breakers.is_open(api));
        self.record(api, error, started.elapsed());
        result
    }

    fn endpoint(&self, api: Api) -> Url {
        let mut url = self.settings.api_base.clone();
        let path = format!("{}{}", url.path().trim_end_matches('/'), api.path());
        url.set_path(&path);
        url
    }

    fn record(&self, api: Api, error: Option<&WechatError>, elapsed: Duration) {
        let outcome = outcome_label(error);
        self.metrics.record(api, outcome, elapsed);
        if let Some(code) = error.and_then(WechatError::code) {
            self.metrics.record_error(api, code);
        }
        tracing::debug!(
            %api,
            outcome,
            errcode = error.and_then(WechatError::code).map(|code| code.0),
            rid = error.and_then(WechatError::rid),
            elapsed_ms = elapsed.as_millis() as u64,
            "WeChat call finished"
        );
    }
}

pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Sends the request and reads the body of a 2xx response.
async fn exchange(api: Api, request: reqwest::RequestBuilder) -> Result<Vec<u8>, WechatError> {
    let failed = |error: reqwest::Error| {
        // Nothing was sent before the connection was established (or the request was built). Any
        // later failure counts as sent, since we cannot know.
        let sent = !(error.is_connect() || error.is_builder());
        if error.is_timeout() {
            WechatError::Timeout { api, sent }
        } else {
            WechatError::Transport {
                api,
                sent,
                source: error.without_url(),
            }
        }
    };
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    if !status.is_success() {
        return Err(WechatError::HttpStatus {
            api,
            status: status.as_u16(),
        });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(WechatError::Malformed {
                api,
                reason: "the response is longer than 1 MiB",
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
