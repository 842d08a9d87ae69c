//! Metrics of calls to WeChat. Labels are bounded: unknown error codes become `other`, and no label
//! identifies a player.

use std::sync::Arc;
use std::time::Duration;

use avalon_metrics::metrics;
use jiff::Timestamp;
use prometheus::Registry;
use strum::VariantArray;

use crate::pay::{PayCode, PayError, PayErrorClass, PlatformCertificate, Serial};
use crate::{Api, ErrCode, ErrorClass, WechatError};

/// From a fast response near WeChat's data centre to the longest reasonable timeout.
const BUCKETS_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0,
];

const OK: &str = "ok";
const TIMEOUT: &str = "timeout";
const UNVERIFIED: &str = "unverified";

/// Returns the possible outcomes of calls to an API.
fn outcomes(api: Api) -> Vec<&'static str> {
    let mut outcomes = vec![OK, TIMEOUT];
    if api.is_pay() {
        outcomes.push(UNVERIFIED);
        outcomes.extend(PayErrorClass::VARIANTS.iter().map(<&str>::from));
    } else {
        outcomes.extend(ErrorClass::VARIANTS.iter().map(<&str>::from));
    }
    outcomes
}

metrics! {
    struct Calls {
        /// Calls to WeChat, by API and outcome.
        requests: IntCounterVec["api", "outcome"] = "avalon_wechat_requests_total",
        /// Duration of calls to WeChat, until the whole response was read.
        duration: HistogramVec["api" in Api::VARIANTS](BUCKETS_SECONDS.to_vec())
            = "avalon_wechat_request_duration_seconds",
        /// Error responses of WeChat, by code; unknown codes are counted as other.
        errors: IntCounterVec["api", "code"] = "avalon_wechat_errors_total",
        /// 1 while this process limits its calls to the API, since WeChat does not answer or limits us.
        circuits: IntGaugeVec["api" in Api::VARIANTS] = "avalon_wechat_circuit_open",
        /// Expiry of certificates as Unix time.
        certificates: IntGaugeVec["certificate"] = "avalon_certificate_expiry_timestamp_seconds",
    }
}

/// The metrics of a [`crate::WechatClient`] and a [`crate::pay::PayClient`]; clones share the series.
#[derive(Clone, Debug)]
pub struct WechatMetrics(Calls);

impl WechatMetrics {
    /// Registers the metrics with all series at 0, so that rates are correct from the first error on.
    ///
    /// # Errors
    /// When the registry already has metrics of these names.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let calls = Calls::new(registry)?;
        for api in Api::VARIANTS {
            for outcome in outcomes(*api) {
                calls.requests.with_label_values(&[api.into(), outcome]);
            }
        }
        Ok(Self(calls))
    }

    /// Counts an error response of the platform.
    pub(crate) fn record_error(&self, api: Api, code: ErrCode) {
        let label = match code.is_known() {
            true => code.to_string(),
            false => "other".to_owned(),
        };
        self.0
            .errors
            .with_label_values(&[api.as_ref(), &label])
            .inc();
    }

    /// Counts an error response of WeChat Pay.
    pub(crate) fn record_pay_error(&self, api: Api, code: &PayCode) {
        self.0
            .errors
            .with_label_values(&[api.as_ref(), code.label()])
            .inc();
    }

    /// Publishes the state of the API's circuit breaker.
    pub(crate) fn circuit(&self, api: Api, open: bool) {
        self.0
            .circuits
            .with_label_values(&[<&str>::from(api)])
            .set(i64::from(open));
    }

    /// Sets the expiry of the certificate called `name`. Public for certificates that this crate does
    /// not fetch itself.
    pub fn certificate(&self, name: &str, expires: Timestamp) {
        self.0
            .certificates
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
                let _ = self.0.certificates.remove_label_values(&[&name(serial)]);
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
        self.0
            .requests
            .with_label_values(&[api.as_ref(), outcome])
            .inc();
        self.0
            .duration
            .with_label_values(&[api])
            .observe(elapsed.as_secs_f64());
    }
}

/// Returns the outcome label: the error's class, except that timeouts have a label of their own.
pub(crate) fn outcome_label(error: Option<&WechatError>) -> &'static str {
    match error {
        None => OK,
        Some(WechatError::Timeout { .. }) => TIMEOUT,
        Some(error) => error.class().into(),
    }
}

/// [`outcome_label`] for WeChat Pay, where unverified responses also have a label of their own.
pub(crate) fn pay_outcome_label(error: Option<&PayError>) -> &'static str {
    match error {
        None => OK,
        Some(PayError::Timeout { .. }) => TIMEOUT,
        Some(PayError::Unverified { .. }) => UNVERIFIED,
        Some(error) => error.class().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<T: VariantArray + ToString>() -> String {
        let names: Vec<_> = T::VARIANTS.iter().map(ToString::to_string).collect();
        names.join(" ")
    }

    #[test]
    fn label_values_are_stable() {
        assert_eq!(
            names::<Api>(),
            "code2session stable_token check_session reset_session_key risk_rank cheat_data \
             msg_sec_check game_msg_sec_check game_analysis summary_trend visit_trend retain_info \
             vpay_balance vpay_spend vpay_cancel_spend vpay_present vpay_query_order \
             subscribe_send set_user_storage remove_user_storage \
             pay_jsapi pay_query pay_close pay_refund pay_refund_query pay_abnormal_refund pay_certificates pay_bill"
        );
        assert_eq!(
            names::<ErrorClass>(),
            "sign_in_again permanent rate_limited retry refresh_token misconfigured"
        );
        assert_eq!(
            names::<PayErrorClass>(),
            "permanent retry query_first already_paid closed rate_limited alert"
        );
        assert_eq!(<&str>::from(Api::Code2Session), "code2session");
    }
}
