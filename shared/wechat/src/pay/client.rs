//! The client of WeChat Pay: verifies every success (§2.3), reads errors, counts and logs calls.
//!
//! Writes are two steps apart: make the body, store it, send it. Only so can a repeat be the same.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::redirect::Policy;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::transport::{Answer, Request};
use super::{
    DoorVerdict, InvalidMerchantKey, InvalidPlatformKey, KeyRing, Notification, OpenError, PayCode,
    PayError, PayParams, PaySettings, PrepayId, SignatureHeaders, Signer, SigningError,
    VerifyError,
};
use crate::client::is_loopback;
use crate::{Api, WechatMetrics};

/// WeChat drops connections that were idle for 8 s; using one of those loses the request (§10).
const POOL_IDLE: Duration = Duration::from_secs(6);
/// Enough of a message for a person.
const MAX_MESSAGE_CHARS: usize = 200;

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PayClientError {
    /// A base cannot carry a call.
    #[error("a WeChat Pay API base must be an http or https URL without query and fragment")]
    ApiBase,
    /// The merchant's key.
    #[error(transparent)]
    MerchantKey(#[from] InvalidMerchantKey),
    /// WeChat's public key.
    #[error(transparent)]
    PlatformKey(#[from] InvalidPlatformKey),
    /// The HTTP client could not start, for example for want of CA certificates.
    #[error("the HTTP client could not start")]
    Http(#[source] reqwest::Error),
}

/// A client of WeChat Pay with its own connection pool and key ring. Clones share both.
#[derive(Clone)]
pub struct PayClient(Arc<Inner>);

struct Inner {
    settings: PaySettings,
    backup: Option<Url>,
    http: reqwest::Client,
    signer: Signer,
    keys: KeyRing,
    metrics: WechatMetrics,
    last_refresh: Mutex<Option<Instant>>,
}

impl PayClient {
    /// Makes a client; connects to nothing yet. Run [`Self::keep_fresh`] beside it.
    ///
    /// # Errors
    /// When a base is not a plain http(s) address, a key cannot be used, or the TLS set-up fails.
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
            // Some endpoints refuse requests without it before they look at anything else (§1.3).
            .user_agent(concat!("avalon-wx/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.request_timeout)
            .pool_idle_timeout(POOL_IDLE)
            // A signature is for one address, and a repeat is this crate's decision.
            .redirect(Policy::none())
            .retry(reqwest::retry::never());
        if is_loopback(&settings.api_base) {
            // HTTP_PROXY and its like are for the way out, not for a simulator on this machine.
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
            last_refresh: Mutex::default(),
        })))
    }

    /// What the client was made from.
    pub fn settings(&self) -> &PaySettings {
        &self.0.settings
    }

    /// WeChat's keys that the client holds now.
    pub fn keys(&self) -> &KeyRing {
        &self.0.keys
    }

    /// What a player's client pays the order with, made of a fresh time and nonce (§4.4).
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn pay_params(&self, prepay_id: &PrepayId) -> Result<PayParams, SigningError> {
        let nonce = super::fresh_nonce()?;
        let app_id = &self.settings().app_id;
        self.signer()
            .pay_sign(app_id, prepay_id, Timestamp::now(), &nonce)
    }

    /// Judges a callback by the keys at hand: fast, for the acknowledging path (§7.4).
    pub fn check_door(&self, headers: &SignatureHeaders, body: &[u8]) -> DoorVerdict {
        self.keys().check_door(headers, body, Timestamp::now())
    }

    /// Judges a stored callback whose key was not at hand when it came, fetching WeChat's
    /// certificates when they could bring the key.
    ///
    /// # Errors
    /// [`VerifyError::UnknownSerial`]: the key is still not here, try again later. Any other: never.
    pub async fn judge_callback(
        &self,
        headers: &SignatureHeaders,
        body: &[u8],
        received_at: Timestamp,
    ) -> Result<(), VerifyError> {
        self.verify_or_learn(headers, body, received_at).await
    }

    /// Opens a callback whose signature was verified.
    ///
    /// # Errors
    /// What is wrong with it.
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

    /// A whole call: send, verify, read the success with `read`, record.
    pub(super) async fn call<T>(
        &self,
        request: &Request<'_>,
        read: impl FnOnce(&[u8]) -> Result<T, &'static str>,
    ) -> Result<T, PayError> {
        let api = request.api;
        let started = Instant::now();
        let result = self.verified(request).await.and_then(|answer| {
            read(&answer.body).map_err(|reason| PayError::Malformed { api, reason })
        });
        self.record(api, result.as_ref().err(), started.elapsed());
        result
    }

    async fn verified(&self, request: &Request<'_>) -> Result<Answer, PayError> {
        let answer = self.exchange(request).await?;
        let answer = self.success(request.api, answer)?;
        self.verify_or_learn(&answer.headers, &answer.body, Timestamp::now())
            .await
            .map_err(|source| PayError::Unverified {
                api: request.api,
                request_id: answer.request_id.clone(),
                source,
            })?;
        Ok(answer)
    }

    async fn verify_or_learn(
        &self,
        headers: &SignatureHeaders,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        match self.keys().verify(headers, body, now) {
            Err(VerifyError::UnknownSerial(serial)) => {
                self.learn(&serial).await;
                self.keys().verify(headers, body, now)
            }
            result => result,
        }
    }

    /// The answer when its status says success, else the error in it. Errors are looked at before
    /// signatures, for most have none (§2.3).
    pub(super) fn success(&self, api: Api, answer: Answer) -> Result<Answer, PayError> {
        // 202: accepted, to be repeated (§8.2).
        if matches!(answer.status, 200 | 201 | 203..=299) {
            return Ok(answer);
        }
        // Gateways answer with HTML or with nothing.
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let message = body["message"].as_str().unwrap_or_default();
        Err(PayError::Api {
            api,
            status: answer.status,
            code: body["code"].as_str().map(PayCode::new),
            message: message.chars().take(MAX_MESSAGE_CHARS).collect(),
            signed: self
                .keys()
                .verify(&answer.headers, &answer.body, Timestamp::now())
                .is_ok(),
            request_id: answer.request_id,
        })
    }

    pub(super) fn record(&self, api: Api, error: Option<&PayError>, elapsed: Duration) {
        let outcome = crate::metrics::pay_outcome_label(error);
        self.0.metrics.record(api, outcome, elapsed);
        if let Some(code) = error.and_then(PayError::code) {
            self.0.metrics.pay_refused(api, code);
        }
        tracing::debug!(
            api = api.as_str(),
            outcome,
            code = error.and_then(PayError::code).map(PayCode::as_str),
            request_id = error.and_then(PayError::request_id),
            elapsed_ms = elapsed.as_millis() as u64,
            "called WeChat Pay"
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

/// Reads JSON. No serde error is kept: it may quote the body.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, &'static str> {
    serde_json::from_slice(body).map_err(|_| "the answer is not what the API promises")
}
