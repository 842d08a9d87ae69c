//! Errors that clients see: one table of codes, and the problem (RFC 9457) of a response or of a failed
//! job. The axum response is built in the API.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The constants of a code.
struct Facts {
    status: u16,
    retryable: bool,
    detail: &'static str,
}

const NO: bool = false;
const YES: bool = true;

macro_rules! problem_codes {
    ($($name:ident: $status:literal, $retryable:ident, $detail:literal;)*) => {
        /// Why a request or a job failed: a stable word that clients may compare. Documented in
        /// `docs/errors.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum ProblemCode {
            $(#[doc = $detail] $name,)*
        }

        impl ProblemCode {
            /// All codes.
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

// Code: HTTP status, whether the same request may succeed later, default detail.
problem_codes! {
    BodyMissing: 400, NO, "The body is missing. Send a JSON body.";
    BodyNotJson: 400, NO, "The body is not valid JSON.";
    HeaderInvalid: 400, NO, "A header is missing or malformed.";
    QueryInvalid: 400, NO, "A path or query parameter is malformed.";
    Unauthenticated: 401, NO, "The token is missing or invalid. Refresh it or sign in.";
    TokenExpired: 401, NO, "The token has expired. Refresh it.";
    SignInAgain: 401, NO, "The sign-in code or the session key is no longer valid. Call wx.login and sign in.";
    SessionExpired: 401, NO, "The session has expired. Sign in.";
    SessionReplaced: 401, NO, "The player has signed in on another device.";
    SessionEnded: 401, NO, "The session has ended. Sign in.";
    RefreshTokenReused: 401, NO, "The refresh token was used before, so the session has been ended. Sign in.";
    SignatureRequired: 401, NO, "A signature is required. Sign the request.";
    SignatureInvalid: 401, NO, "The signature does not match the request.";
    SignatureStale: 401, NO, "The timestamp is too far from the server's time. Correct it with the Date header.";
    NonceReused: 401, NO, "The nonce was used before. Sign with a new one.";
    Forbidden: 403, NO, "This operation is not permitted.";
    UserBanned: 403, NO, "The player is banned.";
    UserBlocked: 403, NO, "WeChat has blocked this user.";
    RiskDenied: 403, NO, "WeChat rates this player as a risk.";
    NotFound: 404, NO, "The path or resource does not exist.";
    UserNotFound: 404, NO, "The player does not exist.";
    ProductNotFound: 404, NO, "The product does not exist or is not for sale.";
    OrderNotFound: 404, NO, "The order does not exist or belongs to another player.";
    BoardNotFound: 404, NO, "The board does not exist.";
    WindowNotFound: 404, NO, "The board has no such window, or there is no score in it.";
    GroupNotFound: 404, NO, "The group does not exist, or the player has not opened a card in it lately.";
    SceneNotFound: 404, NO, "The scene of the share does not exist or is not active now.";
    JobNotFound: 404, NO, "The job does not exist, belongs to another player, or its result has expired.";
    MethodNotAllowed: 405, NO, "The path does not support this method.";
    OutOfStock: 409, NO, "Insufficient stock.";
    LimitReached: 409, NO, "The purchase exceeds the player's limit for this product.";
    TooManyPending: 409, NO, "Too many orders or pieces are unpaid. Pay or cancel an order, or order fewer pieces.";
    OrderState: 409, NO, "The status of the order does not allow this operation.";
    StockChanged: 409, NO, "The stock of the product differs from the expected stock. Read it again.";
    RefundTooLarge: 409, NO, "The refund exceeds the remaining amount or quantity of the order.";
    NotEnoughItems: 409, NO, "The player owns fewer items than requested.";
    NotEnoughCoins: 409, NO, "The player has fewer coins than this costs.";
    RefundElsewhere: 409, NO, "This payment is refunded in WeChat's console of virtual payment, or by the platform, not here.";
    RefundBlocked: 403, NO, "The player may not buy for a while: items of a refunded payment had been used.";
    BoardClosed: 409, NO, "The board accepts no scores now.";
    PaymentRefused: 409, NO, "WeChat Pay rejected the order permanently.";
    ErasureState: 409, NO, "The erasure of the player has begun and can no longer be revoked.";
    BodyTooLarge: 413, NO, "The body is too large.";
    UnsupportedMediaType: 415, NO, "The Content-Type is not supported. Send application/json.";
    FieldMissing: 422, NO, "A required field is missing.";
    FieldInvalid: 422, NO, "A field has an invalid value.";
    WatermarkRefused: 422, NO, "The encrypted data were issued for another app or too long ago. Fetch them again.";
    RunInvalid: 422, NO, "The run does not exist, has expired or was used. Start a new one.";
    IdempotencyKeyReused: 422, NO, "The Idempotency-Key was used for a different request. Use a new one.";
    RateLimited: 429, YES, "Too many requests. Wait for Retry-After seconds.";
    JobUndecodable: 500, NO, "This version of the service cannot read the job.";
    JobCrashed: 500, NO, "The job crashed its worker repeatedly and was dead-lettered.";
    Internal: 500, NO, "Internal error. Report the requestId to the operator.";
    WechatBusy: 503, YES, "WeChat is unavailable.";
    WechatRateLimited: 503, YES, "WeChat rate-limits the service.";
    WechatMisconfigured: 503, NO, "WeChat rejects the credentials of the service. An operator must fix the configuration.";
    PayBusy: 503, YES, "WeChat Pay is unavailable.";
    PayMisconfigured: 503, NO, "WeChat Pay rejects the credentials of the service. An operator must fix the configuration.";
    PaymentsDisabled: 503, NO, "Payments are not configured.";
    QueueUnavailable: 503, YES, "The job queue is unavailable.";
    Overloaded: 503, YES, "The service is behind with such requests. Wait for Retry-After seconds.";
    SessionsUnavailable: 503, YES, "The session store is unavailable.";
    StoreUnavailable: 503, YES, "The database is unavailable.";
    RequestTimeout: 503, YES, "The request timed out.";
    DeadlineExceeded: 503, NO, "The deadline of the job has passed.";
    JobTimedOut: 503, YES, "Every attempt of the job timed out.";
}

impl ProblemCode {
    /// The HTTP status of the code.
    pub const fn status(self) -> u16 {
        self.facts().status
    }

    /// Whether the same request may succeed later without a change.
    pub const fn retryable(self) -> bool {
        self.facts().retryable
    }

    /// The default detail: what is wrong, then what to do.
    pub const fn detail(self) -> &'static str {
        self.facts().detail
    }

    /// The default `Retry-After`. Every 429 and 503 has one.
    const fn retry_after(self) -> Option<Duration> {
        match self.status() {
            // WeChat's limits are per minute.
            503 if matches!(self, Self::WechatRateLimited) => Some(Duration::from_secs(30)),
            // An operator must act first.
            503 if !self.retryable() => Some(Duration::from_secs(60)),
            429 | 503 => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

/// A failure as `application/problem+json` (RFC 9457). Its `type` is always the default
/// `about:blank`, so `title` is the phrase of the status and `code` identifies the error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ProblemBody", into = "ProblemBody")]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// The stable word for clients.
    pub code: ProblemCode,
    /// One or two sentences for developers, without secrets or internals.
    pub detail: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// How long to wait before a retry; sent in whole seconds, rounded up.
    pub retry_after: Option<Duration>,
    /// The order that it is about, where the client may not know it.
    pub order_id: Option<String>,
    /// Id of the failed request, to find it in the logs.
    pub request_id: Option<String>,
}

impl Problem {
    /// Creates a problem with the defaults of its code.
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

    /// Replaces the default detail.
    #[must_use]
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            ..self
        }
    }

    /// Replaces the default `Retry-After`.
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

    /// Sets the id of the failed request.
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
            let started = u64::from(wait.subsec_nanos() > 0);
            wait.as_secs().saturating_add(started).max(1)
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

/// Writes the stable word.
impl std::fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // serde can serialise a unit variant to a formatter.
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

/// The JSON form of a problem.
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
    /// What is wrong and what to do, for developers.
    detail: String,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// Seconds to wait before a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// The order that it is about, once `createOrder` has created one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order_id: Option<String>,
    /// Id of the failed request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// During a rolling deployment, the error of a job may have a code that only the newer version knows; the
/// rest of the problem is still useful.
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

// The schema is that of the JSON form.
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
