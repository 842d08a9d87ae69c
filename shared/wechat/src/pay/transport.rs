//! The HTTP side of WeChat Pay calls: signing, sending, bounded responses, and failover to the backup
//! host (§10). Neither verifies nor parses responses.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, Response};
use tracing::Instrument;
use url::Url;

use super::client::PayClient;
use super::{PayError, Serial, SignatureHeaders, fresh_nonce};
use crate::Api;

/// Larger than any JSON response of WeChat Pay.
const MAX_RESPONSE_BYTES: usize = 1024 * 1024;
const JSON: &str = "application/json";

/// Condition under which a failed call may be resent immediately to the backup host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Even if it may have arrived: the call is idempotent.
    Always,
    /// Only if it certainly did not arrive.
    IfUnsent,
}

/// A call to be sent.
pub(super) struct Request<'a> {
    pub(super) api: Api,
    pub(super) method: Method,
    /// Percent-encoded path.
    pub(super) path: String,
    /// Percent-encoded query.
    pub(super) query: Option<String>,
    /// The exact bytes to sign and send; `None` for GET.
    pub(super) body: Option<&'a str>,
    pub(super) repeat: Repeat,
    /// The platform key that encrypted fields of the body; `None` without such fields.
    pub(super) encrypted_for: Option<&'a Serial>,
}

impl Request<'_> {
    /// Creates a read-only call.
    pub(super) fn get(api: Api, path: String, query: Option<String>) -> Self {
        Self {
            api,
            method: Method::GET,
            path,
            query,
            body: None,
            repeat: Repeat::Always,
            encrypted_for: None,
        }
    }
}

/// A response with any status, not verified yet.
pub(super) struct RawResponse {
    pub(super) status: u16,
    pub(super) headers: SignatureHeaders,
    pub(super) request_id: Option<String>,
    pub(super) body: Vec<u8>,
}

impl PayClient {
    /// Sends to the primary host and, if that fails and resending is safe, once to the backup.
    pub(super) async fn exchange(&self, request: &Request<'_>) -> Result<RawResponse, PayError> {
        let first = self.attempt(self.base(), request).await;
        let Some(backup) = self.backup() else {
            return first;
        };
        let may_have_arrived = match &first {
            Ok(response) if response.status < 500 => return first,
            Ok(_) => true,
            Err(PayError::Timeout { sent, .. } | PayError::Transport { sent, .. }) => *sent,
            Err(_) => return first,
        };
        if may_have_arrived && request.repeat == Repeat::IfUnsent {
            return first;
        }
        tracing::warn!(
            api = %request.api,
            status = first.as_ref().ok().map(|response| response.status),
            error = first.as_ref().err().map(tracing::field::display),
            "WeChat Pay primary host failed, trying the backup host"
        );
        let second = self.attempt(backup, request).await;
        second.map_err(|error| match may_have_arrived {
            true => error.after_sent(),
            false => error,
        })
    }

    async fn attempt(&self, base: &Url, request: &Request<'_>) -> Result<RawResponse, PayError> {
        let mut url = base.clone();
        url.set_path(&format!(
            "{}{}",
            base.path().trim_end_matches('/'),
            request.path
        ));
        url.set_query(request.query.as_deref());
        let mut builder = self.signed(request.api, request.method.clone(), url, request.body)?;
        // Requests a response signed with the public key, even before the switch completes (§2.4),
        // unless the body needs another key.
        if let Some(id) = request.encrypted_for.or(self.keys().public_key_id()) {
            builder = builder.header("Wechatpay-Serial", id.as_str());
        }
        self.read(request.api, builder, MAX_RESPONSE_BYTES)
            .instrument(request.api.span())
            .await
    }

    /// Downloads a file from a URL sent by WeChat. Our request is signed, the file is not (§9).
    pub(super) async fn download(
        &self,
        api: Api,
        url: Url,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<RawResponse, PayError> {
        let mut builder = self.signed(api, Method::GET, url, None)?;
        // As official samples do (§1.3).
        if let Some(id) = self.keys().public_key_id() {
            builder = builder.header("Wechatpay-Serial", id.as_str());
        }
        self.read(api, builder.timeout(timeout), max_bytes)
            .instrument(api.span())
            .await
    }

    /// Builds a signed request. Every attempt gets a new nonce, since WeChat may reject a reused one.
    fn signed(
        &self,
        api: Api,
        method: Method,
        url: Url,
        body: Option<&str>,
    ) -> Result<reqwest::RequestBuilder, PayError> {
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let sent = body.unwrap_or_default();
        let authorization = fresh_nonce()
            .and_then(|nonce| {
                let now = Timestamp::now();
                self.signer()
                    .authorization(method.as_str(), &target, sent.as_bytes(), now, &nonce)
            })
            .map_err(|_| PayError::Signing { api })?;
        let mut builder = self
            .http()
            .request(method, url)
            .header(ACCEPT, JSON)
            .header(AUTHORIZATION, authorization);
        if let Some(body) = body {
            builder = builder.header(CONTENT_TYPE, JSON).body(body.to_owned());
        }
        Ok(builder)
    }

    async fn read(
        &self,
        api: Api,
        request: reqwest::RequestBuilder,
        max_bytes: usize,
    ) -> Result<RawResponse, PayError> {
        let mut response = request.send().await.map_err(|error| failed(api, error))?;
        let status = response.status().as_u16();
        let success = response.status().is_success();
        let headers = SignatureHeaders::from_http(response.headers());
        let request_id = response.headers().get("Request-ID");
        let request_id = request_id
            .and_then(|id| id.to_str().ok())
            .map(str::to_owned);
        let body = match body(api, &mut response, max_bytes).await {
            // The status of an error is sufficient, even if its body is incomplete.
            Err(_) if !success => Vec::new(),
            body => body?,
        };
        Ok(RawResponse {
            status,
            headers,
            request_id,
            body,
        })
    }
}

async fn body(api: Api, response: &mut Response, max_bytes: usize) -> Result<Vec<u8>, PayError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(api, error))? {
        if body.len() + chunk.len() > max_bytes {
            return Err(PayError::Malformed {
                api,
                reason: "the response is too long",
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn failed(api: Api, error: reqwest::Error) -> PayError {
    // Nothing was sent before the connection was established (or the request was built). Any later
    // failure counts as sent, since we cannot know.
    let sent = !(error.is_connect() || error.is_builder());
    if error.is_timeout() {
        PayError::Timeout { api, sent }
    } else {
        PayError::Transport {
            api,
            sent,
            source: error.without_url(),
        }
    }
}
