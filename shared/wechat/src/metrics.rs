//! Metrics of calls to WeChat. Labels are bounded: unknown error codes become `other`, and no label
//! identifies a player.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::pay::{PayCode, PayError, PayErrorClass, PlatformCertificate, Serial};
use crate::{Api, ErrCode, ErrorClass, WechatError};

/// From a fast response near WeChat's data centre to the longest reasonable timeout.
const BUCKETS_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0,
];

const OK: &str = "ok";
const TIMEOUT: &str = "timeout";
const UNVERIFIED: &str = "unverified";

const OUTCOMES: &[&str] = &[
    OK,
    ErrorClass::SignInAgain.as_str(),
    ErrorClass::Permanent.as_str(),
    ErrorClass::RateLimited.as_str(),
    ErrorClass::Retry.as_str(),
    ErrorClass::RefreshToken.as_str(),
    ErrorClass::Misconfigured.as_str(),
    TIMEOUT,
];

/// Returns the possible outcomes of calls to an API.
fn outcomes(api: Api) -> Vec<&'static str> {
    if api.is_pay() {
        let classes = PayErrorClass::ALL.iter().map(|class| class.as_str());
        classes.chain([OK, TIMEOUT, UNVERIFIED]).collect()
    } else {
        OUTCOMES.to_vec()
    }
}

/// The metrics of a [`crate::WechatClient`] and a [`crate::pay::PayClient`]; clones share the series.
#[derive(Clone, Debug)]
pub struct WechatMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    errors: IntCounterVec,
    certificates: IntGaugeVec,
    circuits: IntGaugeVec,
}

impl WechatMetrics {
    /// Registers the metrics with all series at 0, so that rates are correct from the first error on.
    ///
    /// # Errors
    /// When the registry already has metrics of these names.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new(
                "avalon_wechat_requests_total",
                "Calls to WeChat, by API and outcome.",
            ),
            &["api", "outcome"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "avalon_wechat_request_duration_seconds",
                "Duration of calls to WeChat, until the whole response was read.",
            )
            .buckets(BUCKETS_SECONDS.to_vec()),
            &["api"],
        )?;
        let errors = IntCounterVec::new(
            Opts::new(
                "avalon_wechat_errors_total",
                "Error responses of WeChat, by code; unknown codes are counted as other.",
            ),
            &["api", "code"],
        )?;
        let certificates = IntGaugeVec::new(
            Opts::new(
                "avalon_certificate_expiry_timestamp_seconds",
                "Expiry of certificates as Unix time.",
            ),
            &["certificate"],
        )?;
        let circuits = IntGaugeVec::new(
            Opts::new(
                "avalon_wechat_circuit_open",
                "1 while this process limits its calls to the API, since WeChat does not answer or limits us.",
            ),
            &["api"],
        )?;
        registry.register(Box::new(circuits.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        registry.register(Box::new(certificates.clone()))?;
        for api in Api::ALL {
            duration.with_label_values(&[api.as_str()]);
            circuits.with_label_values(&[api.as_str()]);
            for outcome in outcomes(*api) {
                requests.with_label_values(&[api.as_str(), outcome]);
            }
        }
        Ok(Self {
            requests,
            duration,
            errors,
            certificates,
            circuits,
        })
    }

    /// Counts an error response of the platform.
    pub(crate) fn record_error(&self, api: Api, code: ErrCode) {
        let label = match code.is_known() {
            true => code.to_string(),
            false => "other".to_owned(),
        };
        self.errors.with_label_values(&[api.as_str(), &label]).inc();
    }

    /// Counts an error response of WeChat Pay.
    pub(crate) fn record_pay_error(&self, api: Api, code: &PayCode) {
        self.errors
            .with_label_values(&[api.as_str(), code.label()])
            .inc();
    }

    /// Publishes the state of the API's circuit breaker.
    pub(crate) fn circuit(&self, api: Api, open: bool) {
        self.circuits
            .with_label_values(&[api.as_str()])
            .set(i64::from(open));
    }

    /// Sets the expiry of the certificate called `name`. Public for certificates that this crate does
    /// not fetch itself.
    pub fn certificate(&self, name: &str, expires: Timestamp) {
        self.certificates
            .with_label_values(&[name])
            .set(expires.as_second());
    }

    /// Replaces the series of the platform certificates `before` by those of `now`.
    pub(crate) fn platform_certificates(
        &self,
        before: &[Serial],
        now: &[Arc<PlatformCertificate>],
    ) {
        let name = |serial: &Serial| format!("platform_{serial}");
        for serial in before {
            if !now.iter().any(|certificate| certificate.serial == *serial) {
                let _ = self.certificates.remove_label_values(&[&name(serial)]);
            }
        }
        for certificate in now {
            if let Some(expires) = certificate.expires {
                self.certificate(&name(&certificate.serial), expires);
            }
        }
    }

    /// Counts a finished call and observes its duration.
    pub(crate) fn record(&self, api: Api, outcome: &'static str, elapsed: Duration) {
        self.requests
            .with_label_values(&[api.as_str(), outcome])
            .inc();
        self.duration
            .with_label_values(&[api.as_str()])
            .observe(elapsed.as_secs_f64());
    }
}

/// Returns the outcome label: the error's class, except that timeouts have a label of their own.
pub(crate) fn outcome_label(error: Option<&WechatError>) -> &'static str {
    match error {
        None => OK,
        Some(WechatError::Timeout { .. }) => TIMEOUT,
        Some(error) => error.class().as_str(),
    }
}

/// [`outcome_label`] for WeChat Pay, where unverified responses also have a label of their own.
pub(crate) fn pay_outcome_label(error: Option<&PayError>) -> &'static str {
    match error {
        None => OK,
        Some(PayError::Timeout { .. }) => TIMEOUT,
        Some(PayError::Unverified { .. }) => UNVERIFIED,
        Some(error) => error.class().as_str(),
    }
}
