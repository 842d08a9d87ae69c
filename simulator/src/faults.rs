//! Injected faults: latency, error rates, outages. The layer wraps only the WeChat routes, so the
//! control routes work through every outage.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::pay::{self, InjectedError, PayAnswer};
use crate::requests::Endpoint;
use crate::state::World;
use crate::wire::{Answer, errcode};

/// Maximum time for which a response is held back.
pub(crate) const MAX_HOLD: Duration = Duration::from_secs(60);

/// The value of `api` that selects every WeChat Pay API.
pub(crate) const ALL_OF_PAY: &str = "pay";

/// The body of `PUT /_sim/faults`. An empty object clears all faults.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Faults {
    /// Latency added to every call, in milliseconds, at most 60,000.
    latency_ms: u64,
    /// Whether the latency comes after the effect. If not, a call that times out has no effect.
    latency_after: bool,
    /// Share of calls that fail with `errcode` or `pay_error`, 0 to 1; defaults to 1 when either of
    /// those is set. A failed call has no effect, unless `error_after` is set.
    error_rate: Option<f64>,
    /// The errcode of failed calls; defaults to -1.
    errcode: Option<i64>,
    /// Whether a failed call has its effect nevertheless.
    error_after: bool,
    /// The error of failed WeChat Pay calls, which have no errcode; defaults to `SYSTEM_ERROR`.
    pay_error: Option<InjectedError>,
    /// How calls fail without a proper response.
    outage: Outage,
    /// Whether a call has its effect despite the outage.
    outage_after: bool,
    /// The API that the faults apply to, or `pay` for all of WeChat Pay; none applies them to all.
    pub(crate) api: Option<String>,
    /// Number of draws so far; it seeds the next one, so the same calls fail in every run.
    #[serde(skip)]
    draws: u64,
}

/// Ways in which calls fail without a proper response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outage {
    #[default]
    None,
    /// HTTP 502.
    Http502,
    /// The connection is reset.
    Reset,
    /// The connection is held for [`MAX_HOLD`] and then reset.
    Hang,
    /// An empty 200.
    Empty,
    /// Truncated JSON. In WeChat Pay, the first half of the response.
    Truncated,
}

impl Faults {
    /// Validates the ranges; the error names the field.
    pub(crate) fn check(&self) -> Result<(), String> {
        if u128::from(self.latency_ms) > MAX_HOLD.as_millis() {
            return Err(format!(
                "latencyMs must be at most {}",
                MAX_HOLD.as_millis()
            ));
        }
        if self
            .error_rate
            .is_some_and(|rate| !(0.0..=1.0).contains(&rate))
        {
            return Err("errorRate must be from 0 to 1".to_owned());
        }
        Ok(())
    }

    /// Draws the faults of the next call of `api`.
    fn draw(&mut self, api: &str) -> CallFaults {
        let is_pay = is_pay(api);
        let applies = match self.api.as_deref() {
            None => true,
            Some(ALL_OF_PAY) => is_pay,
            Some(only) => only == api,
        };
        if !applies {
            return CallFaults::default();
        }
        CallFaults {
            latency: Duration::from_millis(self.latency_ms),
            latency_after: self.latency_after,
            error: self.draw_error().then(|| {
                if is_pay {
                    Answer::Pay(self.pay_error.unwrap_or_default().into())
                } else {
                    Answer::Error(self.errcode.unwrap_or(errcode::SYSTEM_BUSY))
                }
            }),
            outage: self.outage,
            error_after: self.error_after,
            outage_after: self.outage_after,
        }
    }

    fn draw_error(&mut self) -> bool {
        let rate = match (self.error_rate, self.errcode, self.pay_error) {
            (None, None, None) => return false,
            (rate, ..) => rate.unwrap_or(1.0),
        };
        self.draws += 1;
        let hash = digest(&SHA256, &self.draws.to_be_bytes());
        let [a, b, ..] = hash.as_ref() else {
            return false;
        };
        f64::from(u16::from_be_bytes([*a, *b])) / 65536.0 < rate
    }
}

/// The faults of one call.
#[derive(Default)]
struct CallFaults {
    latency: Duration,
    latency_after: bool,
    error: Option<Answer>,
    error_after: bool,
    outage: Outage,
    outage_after: bool,
}

/// Applies the configured faults to a call.
pub(crate) async fn apply(
    State(endpoint): State<Endpoint>,
    request: Request,
    next: Next,
) -> Response {
    let world = endpoint.world;
    let faults = world.state().faults.draw(endpoint.api);
    if !faults.latency_after {
        delay(&world, faults.latency).await;
    }
    let response = if faults.outage == Outage::Truncated && is_pay(endpoint.api) {
        let has_effect = faults.outage_after || request.method() == Method::GET;
        truncated_pay_answer(has_effect, request, next)
            .await
            .into_response()
    } else if faults.outage != Outage::None {
        if faults.outage_after {
            next.run(request).await;
        }
        outage_answer(&world, faults.outage).await.into_response()
    } else if let Some(error) = faults.error {
        if faults.error_after {
            next.run(request).await;
        }
        error.into_response()
    } else {
        next.run(request).await
    };
    if faults.latency_after {
        delay(&world, faults.latency).await;
    }
    response
}

fn is_pay(api: &str) -> bool {
    api.starts_with(pay::API_PREFIX)
}

/// Returns the first half of the API's response, under the signature of the whole. A call that must
/// have no effect does not reach the API; it gets half of an error.
async fn truncated_pay_answer(has_effect: bool, request: Request, next: Next) -> Answer {
    let whole = if has_effect {
        let mut response = next.run(request).await;
        response.extensions_mut().remove::<Answer>()
    } else {
        None
    };
    Answer::Pay(match whole {
        Some(Answer::Pay(answer)) => answer.truncated(),
        _ => PayAnswer::from(InjectedError::default()).truncated(),
    })
}

async fn delay(world: &World, latency: Duration) {
    if !latency.is_zero() {
        world.wait(latency).await;
    }
}

async fn outage_answer(world: &World, outage: Outage) -> Answer {
    match outage {
        Outage::None | Outage::Reset => Answer::Reset,
        Outage::Hang => {
            world.wait(MAX_HOLD).await;
            Answer::Reset
        }
        Outage::Http502 => Answer::Http(StatusCode::BAD_GATEWAY),
        Outage::Empty => Answer::Empty,
        Outage::Truncated => Answer::Truncated,
    }
}
