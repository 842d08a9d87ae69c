//! Faults that an operator switches on: latency, error rates, outages. A layer of the WeChat routes
//! only, so that the control routes work through every outage.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::pay::{self, InjectedError};
use crate::requests::Endpoint;
use crate::state::World;
use crate::wire::{Answer, errcode};

/// The longest time that an answer is held back.
pub(crate) const HOLD: Duration = Duration::from_secs(60);

/// What `api` says for every API of WeChat Pay.
pub(crate) const ALL_OF_PAY: &str = "pay";

/// The body of `PUT /_sim/faults`. Without fields: no faults.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Faults {
    /// Added to every call, in milliseconds, at most 60,000.
    latency_ms: u64,
    /// Whether the latency comes after the effect. Before it, a caller who gives up in time has spent
    /// nothing.
    latency_after: bool,
    /// How many of the calls fail with `errcode` or `pay_error`, 0 to 1; 1 when only one of those is
    /// given. Such a call has no effect.
    error_rate: Option<f64>,
    /// The code they fail with; -1 when only `error_rate` is given.
    errcode: Option<i64>,
    /// How calls of WeChat Pay fail, which has no errcodes; by default with `SYSTEM_ERROR`.
    pay_error: Option<InjectedError>,
    /// How calls go unanswered.
    outage: Outage,
    /// Whether an unanswered call has its effect nevertheless.
    outage_after: bool,
    /// The one API that this is about, or `pay` for all of WeChat Pay; none: all.
    pub(crate) api: Option<String>,
    /// Calls drawn so far, which makes the same run fail at the same calls.
    #[serde(skip)]
    drawn: u64,
}

/// How calls go unanswered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outage {
    #[default]
    None,
    /// HTTP 502.
    Http502,
    /// The connection is reset.
    Reset,
    /// The connection is held for [`HOLD`] and then reset.
    Hang,
    /// An empty 200.
    Empty,
    /// Broken-off JSON.
    Truncated,
}

impl Faults {
    /// Says what is wrong with them, in words for whoever sent them.
    pub(crate) fn check(&self) -> Result<(), String> {
        if u128::from(self.latency_ms) > HOLD.as_millis() {
            return Err(format!("latencyMs is at most {}", HOLD.as_millis()));
        }
        if self
            .error_rate
            .is_some_and(|rate| !(0.0..=1.0).contains(&rate))
        {
            return Err("errorRate is from 0 to 1".to_owned());
        }
        Ok(())
    }

    /// What the next call of `api` meets.
    fn draw(&mut self, api: &str) -> Fate {
        let is_pay = api.starts_with(pay::API_PREFIX);
        let meant = match self.api.as_deref() {
            None => true,
            Some(ALL_OF_PAY) => is_pay,
            Some(only) => only == api,
        };
        if !meant {
            return Fate::default();
        }
        Fate {
            latency: Duration::from_millis(self.latency_ms),
            latency_after: self.latency_after,
            error: self.draws_error().then(|| {
                if is_pay {
                    Answer::Pay(self.pay_error.unwrap_or_default().answer())
                } else {
                    Answer::Error(self.errcode.unwrap_or(errcode::SYSTEM_BUSY))
                }
            }),
            outage: self.outage,
            outage_after: self.outage_after,
        }
    }

    fn draws_error(&mut self) -> bool {
        let rate = match (self.error_rate, self.errcode, self.pay_error) {
            (None, None, None) => return false,
            (rate, ..) => rate.unwrap_or(1.0),
        };
        self.drawn += 1;
        let hash = digest(&SHA256, &self.drawn.to_be_bytes());
        let [a, b, ..] = hash.as_ref() else {
            return false;
        };
        f64::from(u16::from_be_bytes([*a, *b])) / 65536.0 < rate
    }
}

/// What one call meets.
#[derive(Default)]
struct Fate {
    latency: Duration,
    latency_after: bool,
    error: Option<Answer>,
    outage: Outage,
    outage_after: bool,
}

/// Lets a call meet the faults that are switched on.
pub(crate) async fn apply(
    State(endpoint): State<Endpoint>,
    request: Request,
    next: Next,
) -> Response {
    let world = endpoint.world;
    let fate = world.state().faults.draw(endpoint.api);
    if !fate.latency_after {
        delay(&world, fate.latency).await;
    }
    let response = if fate.outage != Outage::None {
        if fate.outage_after {
            next.run(request).await;
        }
        unanswered(&world, fate.outage).await.into_response()
    } else if let Some(error) = fate.error {
        error.into_response()
    } else {
        next.run(request).await
    };
    if fate.latency_after {
        delay(&world, fate.latency).await;
    }
    response
}

async fn delay(world: &World, latency: Duration) {
    if !latency.is_zero() {
        world.wait(latency).await;
    }
}

async fn unanswered(world: &World, outage: Outage) -> Answer {
    match outage {
        Outage::None | Outage::Reset => Answer::Reset,
        Outage::Hang => {
            world.wait(HOLD).await;
            Answer::Reset
        }
        Outage::Http502 => Answer::Http(StatusCode::BAD_GATEWAY),
        Outage::Empty => Answer::Empty,
        Outage::Truncated => Answer::Truncated,
    }
}
