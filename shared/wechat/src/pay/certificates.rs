//! `GET /v3/certificates`: fetches, decrypts and refreshes WeChat's signing certificates (§3).

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::aead::Resource;
use super::client::{PayClient, json};
use super::keys::PlatformKey;
use super::transport::Request;
use super::{ApiV3Key, InvalidPlatformKey, PayError, Serial};
use crate::Api;

const PEM_TAG: &str = "CERTIFICATE";
/// Minimum interval between fetches because of unknown serials, which any client can send.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(2);
/// Minimum interval between fetches because of callbacks on receipt, which are not authenticated yet: a
/// flood of them must not become a flood of calls.
const MIN_RECEIPT_INTERVAL: Duration = Duration::from_secs(30);
/// A failed fetch is retried after this delay, doubled each time up to `MAX_RETRY_DELAY`.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(500);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// One of WeChat's signing certificates.
pub struct PlatformCertificate {
    /// Serial number, as sent in `Wechatpay-Serial`.
    pub serial: Serial,
    /// Time from which WeChat signs with it, if WeChat sent one.
    pub effective: Option<Timestamp>,
    /// Time until which it is valid, if WeChat sent one.
    pub expires: Option<Timestamp>,
    pub(super) key: PlatformKey,
}

impl PlatformCertificate {
    /// Decrypts the list returned by `GET /v3/certificates`. Unusable certificates (a future suite,
    /// for example) are skipped.
    ///
    /// # Errors
    /// A description, without any content, when no certificate is usable.
    pub fn read_list(key: &ApiV3Key, body: &[u8]) -> Result<Vec<Self>, &'static str> {
        let list: List = json(body)?;
        let mut failure = "the list of certificates is empty";
        let mut certificates = Vec::new();
        for item in list.data {
            match Self::read(key, item) {
                Ok(certificate) => certificates.push(certificate),
                Err(reason) => {
                    tracing::warn!(reason, "skipping an unusable WeChat Pay certificate");
                    failure = reason;
                }
            }
        }
        if certificates.is_empty() {
            return Err(failure);
        }
        Ok(certificates)
    }

    fn read(key: &ApiV3Key, item: Map<String, Value>) -> Result<Self, &'static str> {
        // WeChat's documentation has keys with blanks and times as integers.
        let field = |name: &str| {
            item.iter()
                .find(|(key, _)| key.trim() == name)
                .map(|(_, v)| v)
        };
        let serial = field("serial_no").and_then(Value::as_str);
        let serial = serial.ok_or("a certificate has no serial")?;
        let resource = field("encrypt_certificate").ok_or("a certificate has no content")?;
        let pem = Resource::deserialize(resource)
            .map_err(|_| "a certificate's content has a field of the wrong type")?
            .decrypt(key)
            .map_err(|_| "a certificate does not decrypt with the APIv3 key")?;
        Ok(Self {
            serial: Serial::new(serial),
            effective: field("effective_time").and_then(time),
            expires: field("expire_time").and_then(time),
            key: public_key(&pem).map_err(|_| "a certificate cannot be read")?,
        })
    }

    /// Whether the certificate is no longer valid at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl std::fmt::Debug for PlatformCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlatformCertificate")
            .field("serial", &self.serial)
            .field("effective", &self.effective)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct List {
    data: Vec<Map<String, Value>>,
}

fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(seconds) => Timestamp::from_second(seconds.as_i64()?).ok(),
        _ => None,
    }
}

/// Extracts the public key of an X.509 certificate in PEM.
///
/// Uses webpki, which is well maintained and already a dependency of rustls. The chain is not verified:
/// decryption with the APIv3 key authenticates the content, as in the official SDKs.
fn public_key(pem: &[u8]) -> Result<PlatformKey, InvalidPlatformKey> {
    let block = pem::parse(pem).map_err(|_| InvalidPlatformKey::Pem)?;
    if block.tag() != PEM_TAG {
        return Err(InvalidPlatformKey::Pem);
    }
    let der = CertificateDer::from(block.contents());
    let certificate =
        webpki::EndEntityCert::try_from(&der).map_err(|_| InvalidPlatformKey::Certificate)?;
    PlatformKey::from_spki(&certificate.subject_public_key_info())
}

impl PayClient {
    /// Fetches WeChat's certificates once. A merchant in public-key mode has none, which is not an
    /// error when the public key is configured.
    ///
    /// # Errors
    /// Any [`PayError`]; the current keys remain unchanged.
    pub async fn refresh(&self) -> Result<(), PayError> {
        let mut last = self.last_refresh().lock().await;
        let result = self.fetch().await;
        *last = Some(Instant::now());
        result
    }

    /// Refreshes the certificates forever: fetches immediately, retries with back-off until WeChat
    /// responds, and then fetches every `interval` (an hour is suitable) with 10 % jitter.
    pub async fn keep_fresh(&self, interval: Duration) {
        let delays = ExponentialBuilder::new()
            .with_min_delay(MIN_RETRY_DELAY)
            .with_max_delay(MAX_RETRY_DELAY)
            .with_jitter()
            .without_max_times();
        loop {
            // Never an error: the number of retries is unlimited.
            let _ = (|| self.refresh())
                .retry(delays)
                .notify(|error, delay| {
                    tracing::warn!(%error, ?delay, "WeChat Pay certificates not fetched, will retry");
                })
                .await;
            let jitter = 0.9 + fastrand::f64() * 0.2;
            tokio::time::sleep(interval.mul_f64(jitter)).await;
        }
    }

    /// Fetches the certificates because of an unknown serial. Concurrent callers share one fetch, and
    /// fetches are at least [`MIN_FETCH_INTERVAL`] apart.
    pub(super) async fn fetch_unknown(&self, serial: &Serial) {
        if !serial.may_be_certificate() {
            return;
        }
        let mut last = self.last_refresh().lock().await;
        let recent = last.is_some_and(|last| last.elapsed() < MIN_FETCH_INTERVAL);
        if recent || self.keys().knows(serial) {
            return;
        }
        if let Err(error) = self.fetch().await {
            tracing::warn!(%error, %serial, "unknown WeChat Pay key not fetched");
        }
        *last = Some(Instant::now());
    }

    /// Fetches the certificates in the background because a callback on receipt names an unknown one, so
    /// that the next one can be verified. Does nothing when the last such fetch began less than
    /// [`MIN_RECEIPT_INTERVAL`] ago. Never waits.
    pub fn fetch_for_receipt(&self, serial: &Serial) {
        if !serial.may_be_certificate() {
            return;
        }
        let mut last = self
            .last_receipt_fetch()
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < MIN_RECEIPT_INTERVAL) {
            return;
        }
        *last = Some(Instant::now());
        let (client, serial) = (self.clone(), serial.clone());
        tokio::spawn(async move { client.fetch_unknown(&serial).await });
    }

    async fn fetch(&self) -> Result<(), PayError> {
        let started = Instant::now();
        let mut result = self.fetch_list().await;
        if let Err(error) = &result
            && error.is_absent()
            && self.keys().public_key_id().is_some()
        {
            // Previous certificates still have to expire, from the key ring and from the metrics.
            self.install(Vec::new(), Timestamp::now());
            result = Ok(());
        }
        self.record(
            Api::PayCertificates,
            result.as_ref().err(),
            started.elapsed(),
        );
        result
    }

    async fn fetch_list(&self) -> Result<(), PayError> {
        let api = Api::PayCertificates;
        let request = Request::get(api, api.path().to_owned(), None);
        let response = self.exchange(&request).await?;
        let response = self.success(api, response)?;
        let certificates =
            PlatformCertificate::read_list(&self.settings().api_v3_key, &response.body)
                .map_err(|reason| PayError::Malformed { api, reason })?;
        // The first list, also after a long outage, is signed by a certificate in the list itself.
        // Successful decryption proves that it comes from WeChat (§3, bootstrap).
        let now = Timestamp::now();
        let verified =
            self.keys()
                .verify_with(&certificates, &response.headers, &response.body, now);
        verified.map_err(|source| PayError::Unverified {
            api,
            request_id: response.request_id.clone(),
            source,
        })?;
        self.install(certificates, now);
        Ok(())
    }

    /// Adds certificates, drops expired ones, and updates the metrics.
    fn install(&self, certificates: Vec<PlatformCertificate>, now: Timestamp) {
        let before = self.keys().known_serials();
        self.keys().install(certificates, now);
        let held = self.keys().certificates();
        self.metrics().platform_certificates(&before, &held);
    }
}
