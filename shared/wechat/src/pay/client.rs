//! The WeChat Pay client: verifies every success (§2.3), parses errors, records and logs calls.
//!
//! Building a request body and sending it are separate steps, so that the caller can store the body in
//! between: a retry must send identical bytes.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::redirect::Policy;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::transport::{RawResponse, Request};
use super::{
    CallbackVerdict, InvalidMerchantKey, InvalidPlatformKey, KeyRing, Notification, OpenError,
    PayCode, PayError, PayParams, PaySettings, PrepayId, SignatureHeaders, Signer, SigningError,
    VerifyError,
};
use crate::breaker::{Breakers, Ended};
use crate::client::is_loopback;
use crate::{Api, WechatMetrics};

/// WeChat drops connections that were idle for 8 s; using a dropped one loses the request (§10).
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(6);
/// Length to which error messages are truncated.
const MAX_MESSAGE_CHARS: usize = 200;

/// Reason why a client could not be created.
#[derive(Debug, thiserror::Error)]
pub enum PayClientError {
    /// `api_base` or `backup_base` is not usable as a base URL.
    #[error("a WeChat Pay API base must be an http or https URL without query and fragment")]
    ApiBase,
    /// The merchant's key is unusable.
    #[error(transparent)]
    MerchantKey(#[from] InvalidMerchantKey),
    /// WeChat's public key is unusable.
    #[error(transparent)]
    PlatformKey(#[from] InvalidPlatformKey),
    /// The HTTP client could not be built, for example because no CA certificates were found.
    #[error("the HTTP client could not be built")]
    Http(#[source] reqwest::Error),
}

/// A WeChat Pay client with its own connection pool and key ring. Clones share both.
#[derive(Clone)]
pub struct PayClient(Arc<Inner>);

struct Inner {
    settings: PaySettings,
    backup: Option<Url>,
    http: reqwest::Client,
    signer: Signer,
    keys: KeyRing,
    metrics: WechatMetrics,
    breakers: Breakers,
    last_refresh: Mutex<Option<Instant>>,
    last_receipt_fetch: std::sync::Mutex<Option<Instant>>,
}

impl PayClient {
    /// Creates a client without connecting. Run [`Self::keep_fresh`] in the background.
    ///
    /// # Errors
    /// When a base is not a plain http(s) URL, a key is unusable, or the TLS setup fails.
    pub fn new(settings: PaySettings, metrics: WechatMetrics) -> Result<Self, PayClientError> {
        let backup = settings.backup();
        for base in [Some(&settings.api_base), backup.as_ref()]
            .into_iter()
            .flatten()
        {
            if !matches!(base.scheme(), "http" | "https")
                || base.query().is_some()
                || base.fragment().is_some()
            {
                return Err(PayClientError::ApiBase);
            }
        }
        let mut http = reqwest::Client::builder()
            // Some endpoints reject all requests without a user agent (§1.3).
            .user_agent(concat!("avalon-wx/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.request_timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            // A signature is valid for one URL only, and retries are decided in `transport`.
            .redirect(Policy::none())
            .retry(reqwest::retry::never());
        if is_loopback(&settings.api_base) {
            // Proxy settings such as HTTP_PROXY must not apply to a local simulator.
            http = http.no_proxy();
        }
        Ok(Self(Arc::new(Inner {
            http: http.build().map_err(PayClientError::Http)?,
            signer: Signer::new(
                settings.mch_id.clone(),
                settings.merchant_serial.clone(),
                &settings.merchant_key,
            )?,
            keys: KeyRing::new(settings.platform_public_key.as_ref())?,
            backup,
            settings,
            metrics,
            breakers: Breakers::default(),
            last_refresh: Mutex::default(),
            last_receipt_fetch: std::sync::Mutex::default(),
        })))
    }

    /// Returns the settings.
    pub fn settings(&self) -> &PaySettings {
        &self.0.settings
    }

    /// Returns WeChat's keys as currently known.
    pub fn keys(&self) -> &KeyRing {
        &self.0.keys
    }

    /// Creates the parameters of `wx.requestPayment`, with a fresh time and nonce (§4.4).
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn pay_params(&self, prepay_id: &PrepayId) -> Result<PayParams, SigningError> {
        let nonce = super::fresh_nonce()?;
        let app_id = &self.settings().app_id;
        self.signer()
            .pay_sign(app_id, prepay_id, Timestamp::now(), &nonce)
    }

    /// Checks a callback on receipt with the keys currently known, without any I/O (§7.4).
    pub fn check_callback(&self, headers: &SignatureHeaders, body: &[u8]) -> CallbackVerdict {
        self.keys().check_callback(headers, body, Timestamp::now())
    }

    /// Verifies a stored callback whose key was unknown on receipt, fetching WeChat's certificates
    /// when the key may be among them.
    ///
    /// # Errors
    /// [`VerifyError::UnknownSerial`] when the key is still unknown: retry later. All others are final.
    pub async fn verify_callback(
        &self,
        headers: &SignatureHeaders,
        body: &[u8],
        received_at: Timestamp,
    ) -> Result<(), VerifyError> {
        self.verify_or_fetch(headers, body, received_at).await
    }

    /// Decrypts and parses a callback whose signature was verified.
    ///
    /// # Errors
    /// The reason why the callback cannot be read.
    pub fn open_callback(&self, body: &[u8]) -> Result<Notification, OpenError> {
        Notification::open(&self.settings().api_v3_key, body)
    }

    pub(super) fn base(&self) -> &Url {
        &self.settings().api_base
    }

    pub(super) fn backup(&self) -> Option<&Url> {
        self.0.backup.as_ref()
    }

    pub(super) fn http(&self) -> &reqwest::Client {
        &self.0.http
    }

    pub(super) fn signer(&self) -> &Signer {
        &self.0.signer
    }

    pub(super) fn metrics(&self) -> &WechatMetrics {
        &self.0.metrics
    }

    pub(super) fn last_refresh(&self) -> &Mutex<Option<Instant>> {
        &self.0.last_refresh
    }

    pub(super) fn last_receipt_fetch(&self) -> &std::sync::Mutex<Option<Instant>> {
        &self.0.last_receipt_fetch
    }

    /// Performs a whole call: sends, verifies, parses a success with `read`, and records metrics.
    pub(super) async fn call<T>(
        &self,
        request: &Request<'_>,
        read: impl FnOnce(&[u8]) -> Result<T, &'static str>,
    ) -> Result<T, PayError> {
        let api = request.api;
        let started = Instant::now();
        let permit = self
            .0
            .breakers
            .admit(api, started)
            .map_err(|retry_after| PayError::Paused { api, retry_after })?;
        let result = self.verified(request).await.and_then(|response| {
            read(&response.body).map_err(|reason| PayError::Malformed { api, reason })
        });
        let error = result.as_ref().err();
        permit.ended(
            error.map_or(Ended::Answered, PayError::ended),
            Instant::now(),
        );
        self.0.metrics.circuit(api, self.0.breakers.is_open(api));
        self.record(api, error, started.elapsed());
        result
    }

    async fn verified(&self, request: &Request<'_>) -> Result<RawResponse, PayError> {
        let response = self.exchange(request).await?;
        let response = self.success(request.api, response)?;
        self.verify_or_fetch(&response.headers, &response.body, Timestamp::now())
            .await
            .map_err(|source| PayError::Unverified {
                api: request.api,
                request_id: response.request_id.clone(),
                source,
            })?;
        Ok(response)
    }

    async fn verify_or_fetch(
        &self,
        headers: &SignatureHeaders,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        match self.keys().verify(headers, body, now) {
            Err(VerifyError::UnknownSerial(serial)) => {
                self.fetch_unknown(&serial).await;
                self.keys().verify(headers, body, now)
            }
            result => result,
        }
    }

    /// Returns the response if its status is a success, otherwise the error in it. Errors are parsed
    /// before verification, since most are unsigned (§2.3).
    pub(super) fn success(&self, api: Api, response: RawResponse) -> Result<RawResponse, PayError> {
        // 202 means that the request must be repeated (§8.2).
        if matches!(response.status, 200 | 201 | 203..=299) {
            return Ok(response);
        }
        // Gateways send HTML or an empty body.
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let message = body["message"].as_str().unwrap_or_default();
        Err(PayError::Api {
            api,
            status: response.status,
            code: body["code"].as_str().map(PayCode::new),
            message: message.chars().take(MAX_MESSAGE_CHARS).collect(),
            signed: self
                .keys()
                .verify(&response.headers, &response.body, Timestamp::now())
                .is_ok(),
            request_id: response.request_id,
        })
    }

    pub(super) fn record(&self, api: Api, error: Option<&PayError>, elapsed: Duration) {
        let outcome = crate::metrics::pay_outcome_label(error);
        self.0.metrics.record(api, outcome, elapsed);
        if let Some(code) = error.and_then(PayError::code) {
            self.0.metrics.record_pay_error(api, code);
        }
        tracing::debug!(
            %api,
            outcome,
            code = error.and_then(PayError::code).map(PayCode::as_str),
            request_id = error.and_then(PayError::request_id),
            elapsed_ms = elapsed.as_millis() as u64,
            "WeChat Pay call finished"
        );
    }
}

impl fmt::Debug for PayClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayClient")
            .field("settings", &self.0.settings)
            .field("keys", &self.0.keys)
            .finish_non_exhaustive()
    }
}

/// Parses JSON. serde's error is dropped: it may quote the body.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, &'static str> {
    serde_json::from_slice(body).map_err(|_| "the response does not match the API's schema")
}
