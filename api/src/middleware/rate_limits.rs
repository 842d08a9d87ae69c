//! Counts requests against their rate limits and reports the limits in headers.

use std::num::NonZeroU32;

use avalon_core::base::problem::{Problem, ProblemCode};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;

use crate::http::problem::ApiError;
use crate::middleware::limits::{Counted, Limit, Limits, Verdict};
use crate::middleware::metrics::GuardMetrics;

/// The rate limits, with the metrics that count rejected requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RateLimits {
    limits: Limits,
    metrics: GuardMetrics,
}

impl RateLimits {
    pub(crate) fn new(limits: Limits, metrics: GuardMetrics) -> Self {
        Self { limits, metrics }
    }

    /// Counts the request against all of these limits concurrently. A limiter that is unavailable
    /// gives no verdict.
    pub(crate) async fn count(&self, counted: Vec<(Limit, Counted)>) -> Vec<Verdict> {
        if !self.limits.is_on() {
            return Vec::new();
        }
        let verdicts = counted
            .iter()
            .map(|(limit, key)| self.limits.take(*limit, key));
        let verdicts = join_all(verdicts).await;
        if verdicts.iter().any(Option::is_none) {
            self.metrics.uncounted();
        }
        verdicts.into_iter().flatten().collect()
    }

    /// Returns the response to a request that exceeds one of its limits.
    pub(crate) fn rejection(&self, verdicts: &[Verdict]) -> Option<Response> {
        let exceeded = verdicts.iter().find(|verdict| !verdict.allowed)?;
        self.metrics.limited(exceeded.limit);
        let response = ApiError(limited(exceeded)).into_response();
        Some(with_headers(response, verdicts))
    }

    /// Counts a request against a limit whose key is part of the body.
    ///
    /// # Errors
    /// `RATE_LIMITED` when the limit is exceeded.
    pub(crate) async fn check(&self, limit: Limit, key: Counted) -> Result<(), ApiError> {
        match self.exceeded(limit, &key, NonZeroU32::MIN).await {
            Some(verdict) => Err(limited(&verdict).into()),
            None => Ok(()),
        }
    }

    /// Counts `weight` units against a limit; returns the verdict if it is exceeded.
    pub(crate) async fn exceeded(
        &self,
        limit: Limit,
        key: &Counted,
        weight: NonZeroU32,
    ) -> Option<Verdict> {
        if !self.limits.is_on() {
            return None;
        }
        let verdict = self.limits.take_weighted(limit, key, weight).await;
        if verdict.is_none() {
            self.metrics.uncounted();
        }
        let exceeded = verdict.filter(|verdict| !verdict.allowed)?;
        self.metrics.limited(limit);
        Some(exceeded)
    }
}

pub(crate) fn limited(verdict: &Verdict) -> Problem {
    Problem::new(ProblemCode::RateLimited).with_retry_after(verdict.retry_after)
}

/// Adds the headers of draft-ietf-httpapi-ratelimit-headers: all policies, and the remainder of the one
/// that is closest to its limit.
pub(crate) fn with_headers(mut response: Response, verdicts: &[Verdict]) -> Response {
    let remaining_share = |verdict: &&Verdict| {
        u64::from(verdict.remaining) * 1_000_000 / u64::from(verdict.rate.quota.get())
    };
    let Some(closest) = verdicts.iter().min_by_key(remaining_share) else {
        return response;
    };
    if response.status() == StatusCode::TOO_MANY_REQUESTS && closest.allowed {
        // A limit whose key is part of the body was exceeded; these headers would contradict it.
        return response;
    }
    let policies: Vec<String> = verdicts
        .iter()
        .map(|Verdict { limit, rate, .. }| {
            let window = rate.window.as_secs();
            format!("\"{limit}\";q={};w={window}", rate.quota)
        })
        .collect();
    let resets = closest.reset.as_secs_f64().ceil();
    let remainder = format!("\"{}\";r={};t={resets}", closest.limit, closest.remaining);
    for (name, value) in [
        ("ratelimit-policy", policies.join(", ")),
        ("ratelimit", remainder),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
