//! What goes wrong, as clients see it: one table of codes, and the problem that a response carries
//! (RFC 9457) and that a failed job keeps. How axum answers with it is not known here.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is fixed about a code.
struct Facts {
    status: u16,
    retryable: bool,
    detail: &'static str,
}

const NO: bool = false;
const YES: bool = true;

macro_rules! problem_codes {
    ($($name:ident: $status:literal, $retryable:ident, $detail:literal;)*) => {
        /// Why a request or a job failed: a stable word that clients may compare with. Listed for
        /// readers in `docs/errors.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum ProblemCode {
            $(#[doc = $detail] $name,)*
        }

        impl ProblemCode {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            const fn facts(self) -> Facts {
                match self {
                    $(Self::$name => Facts {
                        status: $status, retryable: $retryable, detail: $detail,
                    },)*
                }
            }
        }
    };
}

// Code: HTTP status, whether the same request may succeed later, detail when nothing better is
// known.
problem_codes! {
    BodyMissing: 400, NO, "The request needs a body.";
    BodyNotJson: 400, NO, "The body is not valid JSON.";
    HeaderInvalid: 400, NO, "A header is missing or malformed.";
    QueryInvalid: 400, NO, "The path or the query string is malformed.";
    Unauthenticated: 401, NO, "A valid token is needed: refresh it or sign in.";
    TokenExpired: 401, NO, "The token has expired: refresh it.";
    SignInAgain: 401, NO, "The sign-in code or the session key is no longer good: call wx.login again.";
    SessionExpired: 401, NO, "The session was not refreshed in time: sign in again.";
    SessionReplaced: 401, NO, "The player has signed in elsewhere.";
    SessionEnded: 401, NO, "The session was ended: sign in again.";
    RefreshTokenReused: 401, NO, "The refresh token was used before, so the session was ended: sign in again.";
    SignatureRequired: 401, NO, "The request must be signed.";
    SignatureInvalid: 401, NO, "The request's signature does not fit.";
    SignatureStale: 401, NO, "The request's timestamp is too far from the server's time.";
    NonceReused: 401, NO, "The request's nonce was used before.";
    Forbidden: 403, NO, "This is not allowed.";
    UserBanned: 403, NO, "The player is banned.";
    UserBlocked: 403, NO, "WeChat has blocked this user.";
    RiskDenied: 403, NO, "WeChat takes this player for a risk.";
    NotFound: 404, NO, "There is nothing here.";
    UserNotFound: 404, NO, "There is no such player.";
    ProductNotFound: 404, NO, "There is no such product for sale.";
    OrderNotFound: 404, NO, "There is no such order, or it is not yours.";
    JobNotFound: 404, NO, "There is no such job, or it is not yours, or its result has expired.";
    MethodNotAllowed: 405, NO, "The path does not know this method.";
    OutOfStock: 409, NO, "Less is left of the product than was asked for.";
    LimitReached: 409, NO, "The player may not buy so many of this product.";
    TooManyPending: 409, NO, "Too many unpaid orders or pieces: pay or cancel an order, or order fewer pieces.";
    OrderState: 409, NO, "The order is in a state that does not allow this.";
    StockChanged: 409, NO, "The product's stock is another than the one that was expected.";
    RefundTooLarge: 409, NO, "More is to be refunded than is left of the order.";
    NotEnoughItems: 409, NO, "The player does not own so many.";
    PaymentRefused: 409, NO, "WeChat refused the order for good.";
    BodyTooLarge: 413, NO, "The body is too large.";
    UnsupportedMediaType: 415, NO, "The body must be sent as application/json.";
    FieldMissing: 422, NO, "A required field is missing.";
    FieldInvalid: 422, NO, "A field has a value that is not allowed.";
    WatermarkRefused: 422, NO, "The encrypted data were made for another app, or too long ago.";
    IdempotencyKeyReused: 422, NO, "The idempotency key was used with another request.";
    RateLimited: 429, YES, "Too many requests: slow down.";
    JobUndecodable: 500, NO, "The job could not be read by this version of the service.";
    JobCrashed: 500, NO, "The job was given up after its worker was lost too often.";
    Internal: 500, NO, "Something went wrong on our side.";
    WechatBusy: 503, YES, "WeChat does not answer at the moment.";
    WechatRateLimited: 503, YES, "WeChat limits our requests at the moment.";
    WechatMisconfigured: 503, NO, "WeChat refuses our credentials: the operator must act.";
    PayBusy: 503, YES, "WeChat Pay does not answer at the moment.";
    PayMisconfigured: 503, NO, "WeChat Pay refuses our credentials: the operator must act.";
    PaymentsDisabled: 503, NO, "Payments are not configured.";
    QueueUnavailable: 503, YES, "The job queue does not answer at the moment.";
    SessionsUnavailable: 503, YES, "The sessions can't be looked up at the moment.";
    StoreUnavailable: 503, YES, "The database does not answer at the moment.";
    RequestTimeout: 503, YES, "The request took too long.";
    DeadlineExceeded: 503, NO, "The job was not done before its deadline.";
    JobTimedOut: 503, YES, "The job took too long.";
}

impl ProblemCode {
    /// The HTTP status that goes with the code.
    pub const fn status(self) -> u16 {
        self.facts().status
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub const fn retryable(self) -> bool {
        self.facts().retryable
    }

    /// One sentence for a reader who knows nothing else.
    pub const fn detail(self) -> &'static str {
        self.facts().detail
    }

    /// What `Retry-After` says when nobody knows better. Every 429 and 503 carries one.
    const fn retry_after(self) -> Option<Duration> {
        match self.status() {
            // WeChat counts by the minute, and so do our jobs.
            503 if matches!(self, Self::WechatRateLimited) => Some(Duration::from_secs(30)),
            // Nothing gets better until an operator acts, so clients should not hurry.
            503 if !self.retryable() => Some(Duration::from_secs(60)),
            429 | 503 => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

/// A failure as `application/problem+json` (RFC 9457). Its `type` is always the default
/// `about:blank`, so `title` is the phrase of the status and `code` tells what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ProblemBody", into = "ProblemBody")]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// What went wrong.
    pub code: ProblemCode,
    /// One or two sentences for a developer. No secrets, no internals.
    pub detail: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// How long to wait before that; whole seconds on the wire, rounded up.
    pub retry_after: Option<Duration>,
    /// The order that it is about, where the client may not know it.
    pub order_id: Option<String>,
    /// The request that failed, to find it in the logs.
    pub request_id: Option<String>,
}

impl Problem {
    /// A problem with everything that its code implies. 429 and 503 get a `retry_after`.
    pub fn new(code: ProblemCode) -> Self {
        Self {
            status: code.status(),
            code,
            detail: code.detail().to_owned(),
            retryable: code.retryable(),
            retry_after: code.retry_after(),
            order_id: None,
            request_id: None,
        }
    }

    /// Says more precisely what is wrong.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            ..self
        }
    }

    /// Says when to try again.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..self
        }
    }

    /// Names the order.
    #[must_use]
    pub fn with_order_id(self, id: impl Into<String>) -> Self {
        Self {
            order_id: Some(id.into()),
            ..self
        }
    }

    /// Names the request.
    #[must_use]
    pub fn with_request_id(self, id: impl Into<String>) -> Self {
        Self {
            request_id: Some(id.into()),
            ..self
        }
    }

    /// The value of the `Retry-After` header: whole seconds, at least 1.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|wait| {
            let begun = u64::from(wait.subsec_nanos() > 0);
            wait.as_secs().saturating_add(begun).max(1)
        })
    }

    /// The phrase of the status.
    pub fn title(&self) -> &'static str {
        match self.status {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            409 => "Conflict",
            413 => "Content Too Large",
            415 => "Unsupported Media Type",
            422 => "Unprocessable Content",
            429 => "Too Many Requests",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        }
    }
}

/// The word that clients compare with.
impl std::fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // serde knows how a formatter writes the name of a variant.
        self.serialize(f)
    }
}

impl From<ProblemCode> for Problem {
    fn from(code: ProblemCode) -> Self {
        Self::new(code)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

/// A problem on the wire.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ProblemBody {
    /// HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// A stable upper-case word; see `docs/errors.md`.
    #[serde(deserialize_with = "code_or_internal")]
    code: ProblemCode,
    /// The phrase of the status.
    #[serde(skip_deserializing)]
    #[schema(value_type = String, example = "Unprocessable Content")]
    title: &'static str,
    /// What went wrong, for a developer.
    detail: String,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// Seconds to wait before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// The order that it is about, once `createOrder` has created one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order_id: Option<String>,
    /// The request that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// While a deployment rolls, a job's error may bear a code that only the newer version knows. The
/// rest of the problem is still worth telling.
fn code_or_internal<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<ProblemCode, D::Error> {
    let word = String::deserialize(deserializer)?;
    let known = ProblemCode::deserialize(serde::de::value::StrDeserializer::<
        serde::de::value::Error,
    >::new(&word));
    Ok(known.unwrap_or(ProblemCode::Internal))
}

impl From<Problem> for ProblemBody {
    fn from(problem: Problem) -> Self {
        Self {
            title: problem.title(),
            retry_after: problem.retry_after_seconds(),
            status: problem.status,
            code: problem.code,
            detail: problem.detail,
            retryable: problem.retryable,
            order_id: problem.order_id,
            request_id: problem.request_id,
        }
    }
}

impl From<ProblemBody> for Problem {
    fn from(body: ProblemBody) -> Self {
        Self {
            status: body.status,
            code: body.code,
            detail: body.detail,
            retryable: body.retryable,
            retry_after: body.retry_after.map(Duration::from_secs),
            order_id: body.order_id,
            request_id: body.request_id,
        }
    }
}

// The schema is that of the wire form, under the name that readers know.
impl utoipa::PartialSchema for Problem {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        ProblemBody::schema()
    }
}

impl ToSchema for Problem {
    fn schemas(
        schemas: &mut Vec<(
            String,
            utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>,
        )>,
    ) {
        ProblemBody::schemas(schemas);
    }
}

#[cfg(test)]
mod tests;
