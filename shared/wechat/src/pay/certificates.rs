//! `GET /v3/certificates`: WeChat's signing certificates, fetched, decrypted and kept fresh (§3).

use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::aead::Resource;
use super::client::{PayClient, json};
use super::keys::VerifyingKey;
use super::transport::Request;
use super::{ApiV3Key, InvalidPlatformKey, PayError, Serial};
use crate::Api;

const PEM_TAG: &str = "CERTIFICATE";
/// The least time between two fetches because of unknown serials, which anybody can send.
const LEARN_GAP: Duration = Duration::from_secs(2);
/// A fetch that failed is repeated after this, doubled up to the other.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// One of WeChat's signing certificates.
pub struct PlatformCertificate {
    /// Its serial, as `Wechatpay-Serial` names it.
    pub serial: Serial,
    /// From when WeChat signs with it; none when WeChat did not say.
    pub effective: Option<Timestamp>,
    /// Until when it verifies; none when WeChat did not say.
    pub expires: Option<Timestamp>,
    pub(super) key: VerifyingKey,
}

impl PlatformCertificate {
    /// Decrypts the list that `GET /v3/certificates` answers with. What cannot be used (a suite of
    /// the future, say) is left out.
    ///
    /// # Errors
    /// When nothing in it can be used; in words, without any of the content.
    pub fn read_list(key: &ApiV3Key, body: &[u8]) -> Result<Vec<Self>, &'static str> {
        let list: List = json(body)?;
        let mut failure = "the list of certificates is empty";
        let mut certificates = Vec::new();
        for item in list.data {
            match Self::read(key, item) {
                Ok(certificate) => certificates.push(certificate),
                Err(reason) => {
                    tracing::warn!(reason, "WeChat Pay lists a certificate that cannot be used");
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
        // Keys with blanks and times as integers have been seen in the documentation.
        let field = |name: &str| {
            item.iter()
                .find(|(key, _)| key.trim() == name)
                .map(|(_, v)| v)
        };
        let serial = field("serial_no").and_then(Value::as_str);
        let serial = serial.ok_or("a certificate has no serial")?;
        let resource = field("encrypt_certificate").ok_or("a certificate has no content")?;
        let pem = Resource::deserialize(resource)
            .map_err(|_| "a certificate's content has fields of other types")?
            .decrypt(key)
            .map_err(|_| "a certificate does not decrypt with the APIv3 key")?;
        Ok(Self {
            serial: Serial::new(serial),
            effective: field("effective_time").and_then(time),
            expires: field("expire_time").and_then(time),
            key: public_key(&pem).map_err(|_| "a certificate cannot be read")?,
        })
    }

    /// Whether it verifies no longer.
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

/// The public key of an X.509 certificate in PEM.
///
/// webpki reads it: it is rustls' own reader, so well kept, and in every build of ours already. The
/// chain is not checked: the APIv3 key vouches for the content, as in the official SDKs.
fn public_key(pem: &[u8]) -> Result<VerifyingKey, InvalidPlatformKey> {
    let block = pem::parse(pem).map_err(|_| InvalidPlatformKey::Pem)?;
    if block.tag() != PEM_TAG {
        return Err(InvalidPlatformKey::Pem);
    }
    let der = CertificateDer::from(block.contents());
    let certificate =
        webpki::EndEntityCert::try_from(&der).map_err(|_| InvalidPlatformKey::Certificate)?;
    VerifyingKey::from_spki(&certificate.subject_public_key_info())
}

impl PayClient {
    /// Fetches WeChat's certificates once. A merchant of the public-key mode has none: that is no
    /// error when the public key is configured.
    ///
    /// # Errors
    /// Any [`PayError`]; the keys at hand stay as they are.
    pub async fn refresh(&self) -> Result<(), PayError> {
        let mut last = self.last_refresh().lock().await;
        let result = self.fetch().await;
        *last = Some(Instant::now());
        result
    }

    /// Keeps the certificates fresh for ever: fetches at once, again with back-off until WeChat
    /// answers, and then every `interval` (an hour is good) give or take a tenth.
    pub async fn keep_fresh(&self, interval: Duration) {
        let delays = ExponentialBuilder::new()
            .with_min_delay(FIRST_DELAY)
            .with_max_delay(LONGEST_DELAY)
            .with_jitter()
            .without_max_times();
        loop {
            // Always a success in the end: the retries have none.
            let _ = (|| self.refresh())
                .retry(delays)
                .notify(|error, delay| {
                    tracing::warn!(%error, ?delay, "WeChat Pay's certificates were not fetched");
                })
                .await;
            let jitter = 0.9 + fastrand::f64() * 0.2;
            tokio::time::sleep(interval.mul_f64(jitter)).await;
        }
    }

    /// Fetches the certificates because of an unknown serial: one fetch for all who wait, and not
    /// more often than every [`LEARN_GAP`].
    pub(super) async fn learn(&self, serial: &Serial) {
        if !serial.may_be_certificate() {
            return;
        }
        let mut last = self.last_refresh().lock().await;
        let recent = last.is_some_and(|last| last.elapsed() < LEARN_GAP);
        if recent || self.keys().knows(serial) {
            return;
        }
        if let Err(error) = self.fetch().await {
            tracing::warn!(%error, %serial, "an unknown key of WeChat Pay could not be fetched");
        }
        *last = Some(Instant::now());
    }

    async fn fetch(&self) -> Result<(), PayError> {
        let started = Instant::now();
        let mut result = self.fetch_list().await;
        if let Err(error) = &result
            && error.is_absent()
            && self.keys().public_key_id().is_some()
        {
            // Those of before end nevertheless, and nobody is to be told of them for ever.
            self.keep(Vec::new(), Timestamp::now());
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
        let answer = self.exchange(&request).await?;
        let answer = self.success(api, answer)?;
        let certificates =
            PlatformCertificate::read_list(&self.settings().api_v3_key, &answer.body)
                .map_err(|reason| PayError::Malformed { api, reason })?;
        // The first list of all, and the first after a long outage, is signed by a certificate in
        // it; that it decrypts proves that WeChat made it (§3, bootstrap).
        let now = Timestamp::now();
        let verified = self
            .keys()
            .verify_with(&certificates, &answer.headers, &answer.body, now);
        verified.map_err(|source| PayError::Unverified {
            api,
            request_id: answer.request_id.clone(),
            source,
        })?;
        self.keep(certificates, now);
        Ok(())
    }

    /// Adds certificates, forgets those that are over, and tells of both.
    fn keep(&self, certificates: Vec<PlatformCertificate>, now: Timestamp) {
        let before = self.keys().known_serials();
        self.keys().install(certificates, now);
        let held = self.keys().certificates();
        self.metrics().platform_certificates(&before, &held);
    }
}
