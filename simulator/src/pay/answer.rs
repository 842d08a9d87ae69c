//! Answers in WeChat Pay's shape: an HTTP status that tells, errors of a `code` and a `message`, and
//! the headers that come with all of them. Who signs is the business of [`super::door`].

use aws_lc_rs::rand;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What an API of WeChat Pay answers.
#[derive(Clone, Debug)]
pub(crate) struct PayAnswer {
    pub(crate) status: StatusCode,
    /// The code of an error.
    pub(crate) code: Option<&'static str>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl PayAnswer {
    /// A status and nothing else, as for an unknown path.
    pub(crate) fn bare(status: StatusCode) -> Self {
        Self {
            status,
            code: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// JSON, or a 204 when there is none.
    pub(crate) fn success(body: Option<Bytes>) -> Self {
        let status = match body {
            Some(_) => StatusCode::OK,
            None => StatusCode::NO_CONTENT,
        };
        let mut answer = Self::bare(status);
        answer.usual_headers();
        answer.request_id(0);
        if let Some(body) = body {
            answer.is_json();
            answer.body = body;
        }
        answer
    }

    /// A file, which is never signed.
    pub(crate) fn file(body: Bytes) -> Self {
        let mut answer = Self::bare(StatusCode::OK);
        answer.set(header::CONTENT_TYPE, "application/octet-stream");
        answer.body = body;
        answer
    }

    pub(crate) fn set(&mut self, name: HeaderName, value: &str) {
        // Every value here is visible ASCII.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }

    fn is_json(&mut self) {
        self.set(header::CONTENT_TYPE, "application/json; charset=utf-8");
    }

    fn usual_headers(&mut self) {
        self.set(header::SERVER, "nginx");
        self.set(HeaderName::from_static("keep-alive"), "timeout=8");
        self.set(header::CACHE_CONTROL, "no-cache, must-revalidate");
        self.set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        self.set(header::CONTENT_LANGUAGE, "zh-CN");
    }

    fn request_id(&mut self, number: u32) {
        let id = format!("{}-{number}", hex::encode_upper(random::<18>()));
        self.set(HeaderName::from_static("request-id"), &id);
    }
}

impl IntoResponse for PayAnswer {
    fn into_response(self) -> Response {
        (self.status, self.headers, self.body).into_response()
    }
}

/// An error of WeChat Pay.
#[derive(Clone, Debug)]
pub(crate) struct PayError {
    status: StatusCode,
    pub(crate) code: &'static str,
    message: String,
    detail: Option<Value>,
    /// WeChat's internal number, which ends the `Request-ID`.
    number: u32,
}

impl PayError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            detail: None,
            number: 268_435_461,
        }
    }

    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
    }

    pub(crate) fn param(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "PARAM_ERROR", message)
    }

    pub(crate) fn not_exists(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "RESOURCE_NOT_EXISTS", message)
    }

    pub(crate) fn sign(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "SIGN_ERROR", message).numbered(268_443_699)
    }

    pub(crate) fn numbered(self, number: u32) -> Self {
        Self { number, ..self }
    }

    pub(crate) fn with_detail(self, detail: Value) -> Self {
        Self {
            detail: Some(detail),
            ..self
        }
    }

    /// Without the `Request-ID`, where WeChat leaves it out.
    pub(crate) fn into_answer(self, with_request_id: bool) -> PayAnswer {
        let mut body = json!({"code": self.code, "message": self.message});
        if let Some(detail) = self.detail {
            body["detail"] = detail;
        }
        let mut answer = PayAnswer::bare(self.status);
        answer.code = Some(self.code);
        answer.usual_headers();
        if with_request_id {
            answer.request_id(self.number);
        }
        answer.is_json();
        answer.body = body.to_string().into();
        answer
    }
}

/// What a fault can make of any call.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum InjectedError {
    #[default]
    SystemError,
    FrequencyLimited,
    ServiceUnavailable,
}

impl InjectedError {
    pub(crate) fn answer(self) -> PayAnswer {
        let (status, code, message) = match self {
            Self::SystemError => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "SYSTEM_ERROR",
                "系统异常，请稍后重试",
            ),
            Self::FrequencyLimited => (
                StatusCode::TOO_MANY_REQUESTS,
                "FREQUENCY_LIMITED",
                "频率超限，请降低请求频率",
            ),
            Self::ServiceUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "SERVICE_UNAVAILABLE",
                "服务不可用，请稍后重试",
            ),
        };
        PayError::new(status, code, message)
            .numbered(268_447_840)
            .into_answer(true)
    }
}

/// Bytes that nobody can foretell, so that ids of two runs never meet.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if rand::fill(&mut bytes).is_err() {
        // The system's generator does not fail; and these are no secrets.
        tracing::error!("no random bytes");
    }
    bytes
}

/// So many characters of `alphabet`.
pub(crate) fn random_text<const N: usize>(alphabet: &[u8]) -> String {
    random::<N>()
        .iter()
        .map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()]))
        .collect()
}

pub(crate) const DIGITS: &[u8] = b"0123456789";
pub(crate) const ALPHANUMERIC: &[u8] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
