//! Responses in WeChat Pay's format: a meaningful HTTP status, errors with a `code` and a
//! `message`, and the common headers. [`super::ingress`] signs them.

use aws_lc_rs::rand;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The answer of a WeChat Pay API.
#[derive(Clone, Debug)]
pub(crate) struct PayAnswer {
    pub(crate) status: StatusCode,
    /// The error code; none for a success.
    pub(crate) code: Option<&'static str>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether a fault has cut the body.
    pub(crate) is_truncated: bool,
}

impl PayAnswer {
    /// A status without headers and body, as for an unknown path.
    pub(crate) fn status_only(status: StatusCode) -> Self {
        Self {
            status,
            code: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            is_truncated: false,
        }
    }

    /// A 200 with JSON, or a 204 without a body.
    pub(crate) fn success(body: Option<Bytes>) -> Self {
        let status = match body {
            Some(_) => StatusCode::OK,
            None => StatusCode::NO_CONTENT,
        };
        let mut answer = Self::status_only(status);
        answer.set_common_headers();
        answer.set_request_id(0);
        if let Some(body) = body {
            answer.set_json_content_type();
            answer.body = body;
        }
        answer
    }

    /// A file download, which is never signed.
    pub(crate) fn file(body: Bytes, content_type: &str) -> Self {
        let mut answer = Self::status_only(StatusCode::OK);
        answer.set(header::CONTENT_TYPE, content_type);
        answer.body = body;
        answer
    }

    /// Cuts the body in half. The headers, its signature included, remain those of the whole body.
    pub(crate) fn truncated(mut self) -> Self {
        self.body.truncate(self.body.len() / 2);
        self.is_truncated = true;
        self
    }

    /// Renders the answer. Idle connections close after `keep_alive_seconds`; 0 is unlimited.
    pub(crate) fn render(mut self, keep_alive_seconds: u32) -> Response {
        if keep_alive_seconds > 0 {
            self.set(
                HeaderName::from_static("keep-alive"),
                &format!("timeout={keep_alive_seconds}"),
            );
        }
        (self.status, self.headers, self.body).into_response()
    }

    pub(crate) fn set(&mut self, name: HeaderName, value: &str) {
        // Every value here is visible ASCII.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }

    fn set_json_content_type(&mut self) {
        self.set(header::CONTENT_TYPE, "application/json; charset=utf-8");
    }

    fn set_common_headers(&mut self) {
        self.set(header::SERVER, "nginx");
        self.set(header::CACHE_CONTROL, "no-cache, must-revalidate");
        self.set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        self.set(header::CONTENT_LANGUAGE, "zh-CN");
    }

    fn set_request_id(&mut self, number: u32) {
        let id = format!("{}-{number}", hex::encode_upper(random::<18>()));
        self.set(HeaderName::from_static("request-id"), &id);
    }
}

/// An error of WeChat Pay.
#[derive(Clone, Debug)]
pub(crate) struct PayError {
    status: StatusCode,
    pub(crate) code: &'static str,
    message: String,
    detail: Option<Value>,
    /// WeChat's internal error number, the suffix of the `Request-ID`.
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
        Self::new(StatusCode::UNAUTHORIZED, "SIGN_ERROR", message).with_number(268_443_699)
    }

    pub(crate) fn with_number(self, number: u32) -> Self {
        Self { number, ..self }
    }

    pub(crate) fn with_detail(self, detail: Value) -> Self {
        Self {
            detail: Some(detail),
            ..self
        }
    }

    /// Converts the error; `with_request_id` is false where WeChat omits the `Request-ID`.
    pub(crate) fn into_answer(self, with_request_id: bool) -> PayAnswer {
        let mut body = json!({"code": self.code, "message": self.message});
        if let Some(detail) = self.detail {
            body["detail"] = detail;
        }
        let mut answer = PayAnswer::status_only(self.status);
        answer.code = Some(self.code);
        answer.set_common_headers();
        if with_request_id {
            answer.set_request_id(self.number);
        }
        answer.set_json_content_type();
        answer.body = body.to_string().into();
        answer
    }
}

/// An error that a fault can inject into any call.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum InjectedError {
    #[default]
    SystemError,
    FrequencyLimited,
    ServiceUnavailable,
}

impl From<InjectedError> for PayAnswer {
    fn from(error: InjectedError) -> Self {
        let (status, code, message) = match error {
            InjectedError::SystemError => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "SYSTEM_ERROR",
                "系统异常，请稍后重试",
            ),
            InjectedError::FrequencyLimited => (
                StatusCode::TOO_MANY_REQUESTS,
                "FREQUENCY_LIMITED",
                "频率超限，请降低请求频率",
            ),
            InjectedError::ServiceUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "SERVICE_UNAVAILABLE",
                "服务不可用，请稍后重试",
            ),
        };
        PayError::new(status, code, message)
            .with_number(268_447_840)
            .into_answer(true)
    }
}

/// Returns random bytes, so that ids of two runs do not collide.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if rand::fill(&mut bytes).is_err() {
        // The system's generator does not fail, and these bytes are not secret.
        tracing::error!("random number generator failed");
    }
    bytes
}

/// Returns `N` random characters of `alphabet`.
pub(crate) fn random_text<const N: usize>(alphabet: &[u8]) -> String {
    random::<N>()
        .iter()
        .map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()]))
        .collect()
}

pub(crate) const DIGITS: &[u8] = b"0123456789";
pub(crate) const ALPHANUMERIC: &[u8] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
