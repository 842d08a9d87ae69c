//! The HTTP side of every call: signing, sending, the bounded answer, and the repeat at the other
//! host (§10). It neither verifies nor understands what comes back.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, Response};
use tracing::Instrument;
use url::Url;

use super::client::PayClient;
use super::{PayError, SignatureHeaders, fresh_nonce};
use crate::Api;

/// More than any JSON answer of WeChat Pay has.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
const JSON: &str = "application/json";

/// When a call that did not end well may be sent again at once, to the other host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Also when it may have arrived: the same bytes again change nothing.
    Always,
    /// Only when it surely did not arrive.
    IfUnsent,
}

/// One call.
pub(super) struct Request<'a> {
    pub(super) api: Api,
    pub(super) method: Method,
    /// The path, percent-encoded.
    pub(super) path: String,
    /// The query, percent-encoded.
    pub(super) query: Option<String>,
    /// The exact bytes to sign and send; none for GET.
    pub(super) body: Option<&'a str>,
    pub(super) repeat: Repeat,
}

impl Request<'_> {
    /// A call that changes nothing.
    pub(super) fn get(api: Api, path: String, query: Option<String>) -> Self {
        Self {
            api,
            method: Method::GET,
            path,
            query,
            body: None,
            repeat: Repeat::Always,
        }
    }
}

/// What came back, whatever it is.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: SignatureHeaders,
    pub(super) request_id: Option<String>,
    pub(super) body: Vec<u8>,
}

impl PayClient {
    /// Sends to the primary host and, when that is worth it, once more to the backup.
    pub(super) async fn exchange(&self, request: &Request<'_>) -> Result<Answer, PayError> {
        let first = self.attempt(self.base(), request).await;
        let Some(backup) = self.backup() else {
            return first;
        };
        let may_have_arrived = match &first {
            Ok(answer) if answer.status < 500 => return first,
            Ok(_) => true,
            Err(PayError::Timeout { sent, .. } | PayError::Transport { sent, .. }) => *sent,
            Err(_) => return first,
        };
        if may_have_arrived && request.repeat == Repeat::IfUnsent {
            return first;
        }
        tracing::warn!(
            api = request.api.as_str(),
            status = first.as_ref().ok().map(|answer| answer.status),
            error = first.as_ref().err().map(tracing::field::display),
            "WeChat Pay's primary host failed, trying the backup"
        );
        let second = self.attempt(backup, request).await;
        second.map_err(|error| match may_have_arrived {
            true => error.after_sent(),
            false => error,
        })
    }

    async fn attempt(&self, base: &Url, request: &Request<'_>) -> Result<Answer, PayError> {
        let mut url = base.clone();
        url.set_path(&format!(
            "{}{}",
            base.path().trim_end_matches('/'),
            request.path
        ));
        url.set_query(request.query.as_deref());
        let builder = self.signed(request.api, request.method.clone(), url, request.body)?;
        self.read(request.api, builder, MAX_ANSWER_BYTES)
            .instrument(request.api.span())
            .await
    }

    /// A file from an address that WeChat gave: signed by us as always, never signed by WeChat (§9).
    pub(super) async fn download(
        &self,
        api: Api,
        url: Url,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Answer, PayError> {
        let builder = self.signed(api, Method::GET, url, None)?;
        self.read(api, builder.timeout(timeout), max_bytes)
            .instrument(api.span())
            .await
    }

    /// Every attempt is signed anew: whether WeChat minds a nonce that it has seen is not known.
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
        // Asks for an answer signed by the public key, also before the switch is complete (§2.4).
        if let Some(id) = self.keys().public_key_id() {
            builder = builder.header("Wechatpay-Serial", id.as_str());
        }
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
    ) -> Result<Answer, PayError> {
        let mut response = request.send().await.map_err(|error| lost(api, error))?;
        let status = response.status().as_u16();
        let success = response.status().is_success();
        let headers = SignatureHeaders::from_http(response.headers());
        let request_id = response.headers().get("Request-ID");
        let request_id = request_id
            .and_then(|id| id.to_str().ok())
            .map(str::to_owned);
        let body = match body(api, &mut response, max_bytes).await {
            // The status of an error says enough, even when its page does not end.
            Err(_) if !success => Vec::new(),
            body => body?,
        };
        Ok(Answer {
            status,
            headers,
            request_id,
            body,
        })
    }
}

async fn body(api: Api, response: &mut Response, max_bytes: usize) -> Result<Vec<u8>, PayError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| lost(api, error))? {
        if body.len() + chunk.len() > max_bytes {
            return Err(PayError::Malformed {
                api,
                reason: "the answer is longer than any of WeChat Pay's",
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn lost(api: Api, error: reqwest::Error) -> PayError {
    // Before the connection is up (and before the request is even built) nothing was sent. Of
    // anything later we cannot know, so it counts as sent.
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
