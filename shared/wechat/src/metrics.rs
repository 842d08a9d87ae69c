//! Counts and times calls to WeChat. Labels are bounded: neither codes nor players appear in them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::pay::{PayCode, PayError, PayErrorClass, PlatformCertificate, Serial};
use crate::{Api, ErrCode, ErrorClass, WechatError};

/// From a fast answer near WeChat's data centre to the longest total time-out worth having.
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

/// The outcomes that calls of an API can have.
fn outcomes(api: Api) -> Vec<&'static str> {
    if api.is_pay() {
        let classes = PayErrorClass::ALL.iter().map(|class| class.as_str());
        classes.chain([OK, TIMEOUT, UNVERIFIED]).collect()
    } else {
        OUTCOMES.to_vec()
    }
}

/// The metrics of a [`crate::WechatClient`] and a [`crate::pay::PayClient`]; a clone counts into the
/// same series.
#[derive(Clone, Debug)]
pub struct WechatMetrics {
    requests: IntCounterVec,
    duration: HistogramVec,
    errors: IntCounterVec,
    certificates: IntGaugeVec,
}

impl WechatMetrics {
    /// Registers the metrics, all their series at 0, so that a rate is right from the first error on.
    ///
    /// # Errors
    /// When the registry already has metrics of these names.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new(
                "avalon_wechat_requests_total",
                "Calls to WeChat's platform, by API and by what the outcome asks of us.",
            ),
            &["api", "outcome"],
        )?;
        let duration = HistogramVec::new(
            HistogramOpts::new(
                "avalon_wechat_request_duration_seconds",
                "Time from sending a call to WeChat's platform to having read its whole answer.",
            )
            .buckets(BUCKETS_SECONDS.to_vec()),
            &["api"],
        )?;
        let errors = IntCounterVec::new(
            Opts::new(
                "avalon_wechat_errors_total",
                "Calls that WeChat answered with an error, by its code; codes that nobody knows are \
                 other.",
            ),
            &["api", "code"],
        )?;
        let certificates = IntGaugeVec::new(
            Opts::new(
                "avalon_certificate_expiry_timestamp_seconds",
                "When a certificate expires, Unix time.",
            ),
            &["certificate"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        registry.register(Box::new(errors.clone()))?;
        registry.register(Box::new(certificates.clone()))?;
        for api in Api::ALL {
            duration.with_label_values(&[api.as_str()]);
            for outcome in outcomes(*api) {
                requests.with_label_values(&[api.as_str(), outcome]);
            }
        }
        Ok(Self {
            requests,
            duration,
            errors,
            certificates,
        })
    }

    /// WeChat refused a call of its platform.
    pub(crate) fn refused(&self, api: Api, code: ErrCode) {
        let label = match code.is_known() {
            true => code.to_string(),
            false => "other".to_owned(),
        };
        self.errors.with_label_values(&[api.as_str(), &label]).inc();
    }

    /// WeChat Pay refused a call.
    pub(crate) fn pay_refused(&self, api: Api, code: &PayCode) {
        self.errors
            .with_label_values(&[api.as_str(), code.label()])
            .inc();
    }

    /// A certificate, under a name of its own, expires then. For certificates that this crate does
    /// not fetch itself.
    pub fn certificate(&self, name: &str, expires: Timestamp) {
        self.certificates
            .with_label_values(&[name])
            .set(expires.as_second());
    }

    /// These are the platform certificates at hand now.
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

    pub(crate) fn record(&self, api: Api, outcome: &'static str, elapsed: Duration) {
        self.requests
            .with_label_values(&[api.as_str(), outcome])
            .inc();
        self.duration
            .with_label_values(&[api.as_str()])
            .observe(elapsed.as_secs_f64());
    }
}

/// The outcome as a label: what it asks of us, with time-outs apart from the other errors to retry.
pub(crate) fn outcome_label(error: Option<&WechatError>) -> &'static str {
    match error {
        None => OK,
        Some(WechatError::Timeout { .. }) => TIMEOUT,
        Some(error) => error.class().as_str(),
    }
}

/// [`outcome_label`] for WeChat Pay: answers that do not verify are apart too.
pub(crate) fn pay_outcome_label(error: Option<&PayError>) -> &'static str {
    match error {
        None => OK,
        Some(PayError::Timeout { .. }) => TIMEOUT,
        Some(PayError::Unverified { .. }) => UNVERIFIED,
        Some(error) => error.class().as_str(),
    }
}
