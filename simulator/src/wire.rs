//! Responses in the format of WeChat's platform APIs: HTTP 200 with `errcode` and `errmsg`, the
//! platform's `Date`, and malformed variants. APIs and faults choose the [`Answer`]; this module
//! only renders it.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::pay::PayAnswer;
use crate::settings::ContentType;

/// The errcodes that the simulator returns by itself, not on request of a fault or code.
pub(crate) mod errcode {
    pub(crate) const SYSTEM_BUSY: i64 = -1;
    pub(crate) const TOKEN_NOT_LATEST: i64 = 40001;
    pub(crate) const INVALID_GRANT_TYPE: i64 = 40002;
    pub(crate) const INVALID_OPENID: i64 = 40003;
    pub(crate) const INVALID_APPID: i64 = 40013;
    pub(crate) const INVALID_TOKEN: i64 = 40014;
    pub(crate) const INVALID_CODE: i64 = 40029;
    pub(crate) const INVALID_ARGUMENTS: i64 = 40097;
    pub(crate) const INVALID_SECRET: i64 = 40125;
    pub(crate) const INVALID_SCENE: i64 = 40129;
    pub(crate) const CODE_USED: i64 = 40163;
    pub(crate) const TOKEN_MISSING: i64 = 41001;
    pub(crate) const UNKNOWN_TEMPLATE: i64 = 40037;
    pub(crate) const APPID_MISSING: i64 = 41002;
    pub(crate) const SECRET_MISSING: i64 = 41004;
    pub(crate) const CODE_MISSING: i64 = 41008;
    pub(crate) const TOKEN_EXPIRED: i64 = 42001;
    pub(crate) const NEEDS_GET: i64 = 43001;
    pub(crate) const NEEDS_POST: i64 = 43002;
    pub(crate) const NOT_SUBSCRIBED: i64 = 43101;
    pub(crate) const CONCURRENT_MESSAGES: i64 = 43108;
    pub(crate) const EMPTY_BODY: i64 = 44002;
    pub(crate) const TOO_LONG: i64 = 45002;
    pub(crate) const DAY_QUOTA: i64 = 45009;
    pub(crate) const MINUTE_QUOTA: i64 = 45011;
    pub(crate) const SENSITIVE_MESSAGE: i64 = 45168;
    pub(crate) const INVALID_DATA: i64 = 47003;
    pub(crate) const NOT_JSON: i64 = 47001;
    pub(crate) const PLAYER_INACTIVE: i64 = 61010;
    pub(crate) const DATE_FORMAT: i64 = 61500;
    pub(crate) const DATE_RANGE: i64 = 61501;
    pub(crate) const DATA_NOT_READY: i64 = 61503;
    pub(crate) const GAME_METRIC: i64 = 61552;
    pub(crate) const GAME_GRANULARITY: i64 = 61553;
    pub(crate) const GAME_TIME_RANGE: i64 = 61554;
    pub(crate) const GAME_DIMENSION: i64 = 61555;
    pub(crate) const GAME_GRANULARITY_UNSUPPORTED: i64 = 61557;
    pub(crate) const SIG_METHOD: i64 = 87008;
    pub(crate) const SIGNATURE: i64 = 87009;
    pub(crate) const RISKY_CONTENT: i64 = 87014;
    pub(crate) const STORAGE_PAIR: i64 = 87016;
    pub(crate) const STORAGE_TOTAL: i64 = 87017;
    pub(crate) const STORAGE_COUNT: i64 = 87018;
    pub(crate) const STORAGE_KEY: i64 = 87019;
    pub(crate) const VPAY_NOT_FOUND: i64 = 90_000;
    pub(crate) const VPAY_SIGNATURE: i64 = 90_010;
    pub(crate) const VPAY_PAY_SIG: i64 = 90_011;
    pub(crate) const VPAY_REPEATED: i64 = 90_012;
    pub(crate) const VPAY_INSUFFICIENT: i64 = 90_013;
    pub(crate) const VPAY_KEY_EXPIRED: i64 = 90_016;
    pub(crate) const VPAY_PARAMETER: i64 = 90_018;
    pub(crate) const VPAY_UNKNOWN_ORDER: i64 = 90_019;
    pub(crate) const GAME_TEXT_VERSION: i64 = 750_030;
}

/// The answer of an API or a fault. [`IntoResponse`] only carries it to the outermost layer, which
/// renders it with [`Answer::render`].
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A success with these fields.
    Success(Value),
    /// A business error.
    Error(i64),
    /// A business error with a message of its own.
    Diagnosis(i64, String),
    /// An HTTP status with an HTML page, as from a gateway.
    Http(StatusCode),
    /// An empty 200 of type `text/html`.
    Empty,
    /// Truncated JSON in a complete HTTP response.
    Truncated,
    /// A connection reset.
    Reset,
    /// An answer in WeChat Pay's format.
    Pay(PayAnswer),
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}

impl Answer {
    /// Returns the `errcode` of the answer, 0 for a success; none if the answer carries no errcode.
    pub(crate) fn errcode(&self) -> Option<i64> {
        match self {
            Self::Success(_) => Some(0),
            Self::Error(code) | Self::Diagnosis(code, _) => Some(*code),
            _ => None,
        }
    }

    /// Returns WeChat Pay's error code, if there is one.
    pub(crate) fn code(&self) -> Option<&'static str> {
        match self {
            Self::Pay(answer) => answer.code,
            _ => None,
        }
    }

    /// Returns the kind of answer for the request log.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Success(_) | Self::Error(_) | Self::Diagnosis(..) => "json".to_owned(),
            Self::Http(status) => format!("http{}", status.as_u16()),
            Self::Empty => "empty".to_owned(),
            Self::Truncated => "truncated".to_owned(),
            Self::Reset => "reset".to_owned(),
            Self::Pay(answer) if answer.is_truncated => "truncated".to_owned(),
            Self::Pay(answer) => format!("http{}", answer.status.as_u16()),
        }
    }

    /// Renders the answer. `keep_alive_seconds` is WeChat Pay's; `connection` is set when
    /// [`crate::Simulator::serve`] serves.
    pub(crate) fn render(
        self,
        content_type: ContentType,
        keep_alive_seconds: u32,
        now: Timestamp,
        connection: Option<&Connection>,
    ) -> Response {
        let mut response = match self {
            Self::Success(fields) => json_answer(content_type, fields.to_string()),
            Self::Error(code) => json_error(content_type, code, errmsg(code), now),
            Self::Diagnosis(code, message) => json_error(content_type, code, &message, now),
            Self::Http(status) => (
                status,
                Html(format!("<html><body><h1>{status}</h1></body></html>")),
            )
                .into_response(),
            Self::Empty => Html("").into_response(),
            Self::Truncated => json_answer(content_type, r#"{"session_key":"c2ltdW"#.to_owned()),
            Self::Reset => reset_response(connection),
            Self::Pay(answer) => {
                if let Some(connection) = connection {
                    connection.limit_idle(keep_alive_seconds);
                }
                answer.render(keep_alive_seconds)
            }
        };
        if let Some(date) = http_date(now) {
            response.headers_mut().insert(DATE, date);
        }
        response
    }
}

fn json_error(content_type: ContentType, code: i64, message: &str, now: Timestamp) -> Response {
    let errmsg = format!("{message}, rid: {}", rid(now));
    let body = json!({"errcode": code, "errmsg": errmsg});
    json_answer(content_type, body.to_string())
}

fn json_answer(content_type: ContentType, body: String) -> Response {
    let content_type = match content_type {
        ContentType::Json => "application/json; charset=utf-8",
        ContentType::Text => "text/plain",
    };
    ([(CONTENT_TYPE, content_type)], body).into_response()
}

fn reset_response(connection: Option<&Connection>) -> Response {
    if let Some(connection) = connection {
        connection.reset();
    }
    // Writing the first byte triggers the reset. On a connection that cannot be reset, the body
    // fails before its declared length.
    let broken = futures_util::stream::iter([Err::<Bytes, _>(io::Error::from(
        io::ErrorKind::ConnectionReset,
    ))]);
    ([(CONTENT_LENGTH, "64")], Body::from_stream(broken)).into_response()
}

fn http_date(now: Timestamp) -> Option<HeaderValue> {
    let date = DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&now)
        .ok()?;
    HeaderValue::try_from(date).ok()
}

/// Returns a request id as WeChat appends it to messages: three groups of eight hex digits.
fn rid(now: Timestamp) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let seconds = (now.as_second() as u32).to_be_bytes();
    let fraction = now.subsec_nanosecond().to_be_bytes();
    format!(
        "{}-{}-{}",
        hex::encode(seconds),
        hex::encode(fraction),
        hex::encode(count.to_be_bytes())
    )
}

/// Returns a message close to WeChat's for a code; clients must not compare it.
fn errmsg(code: i64) -> &'static str {
    match code {
        errcode::SYSTEM_BUSY => "system error",
        0 => "ok",
        errcode::TOKEN_NOT_LATEST => "invalid credential, access_token is invalid or not latest",
        errcode::INVALID_GRANT_TYPE => "invalid grant_type",
        errcode::INVALID_OPENID => "invalid openid",
        errcode::INVALID_APPID => "invalid appid",
        errcode::INVALID_TOKEN => "invalid access_token",
        errcode::INVALID_CODE => "invalid code",
        errcode::INVALID_ARGUMENTS => "invalid args",
        errcode::INVALID_SECRET => "invalid appsecret",
        errcode::INVALID_SCENE => "invalid scene value",
        errcode::CODE_USED => "code been used",
        40164 => "invalid ip 127.0.0.1, not in whitelist",
        40226 => "code blocked",
        errcode::TOKEN_MISSING => "access_token missing",
        errcode::APPID_MISSING => "appid missing",
        errcode::SECRET_MISSING => "appsecret missing",
        errcode::CODE_MISSING => "missing code",
        errcode::TOKEN_EXPIRED => "access_token expired",
        errcode::NEEDS_GET => "require GET method",
        errcode::NEEDS_POST => "require POST method",
        errcode::EMPTY_BODY => "empty post data",
        errcode::TOO_LONG => "content size out of limit",
        errcode::DAY_QUOTA => "reach max api daily quota limit",
        errcode::MINUTE_QUOTA => "api minute-quota reach limit, must slower, retry next minute",
        errcode::NOT_JSON => "data format error",
        errcode::UNKNOWN_TEMPLATE => "invalid template_id",
        errcode::NOT_SUBSCRIBED => "user refuse to accept the msg",
        errcode::CONCURRENT_MESSAGES => "concurrent messages to the same user",
        errcode::SENSITIVE_MESSAGE => "sensitive words in the message",
        errcode::INVALID_DATA => "argument invalid! data.thing1.value invalid",
        errcode::STORAGE_PAIR => "a pair is too long",
        errcode::STORAGE_TOTAL => "the total size is too large",
        errcode::STORAGE_COUNT => "too many pairs",
        errcode::STORAGE_KEY => "a key is too long",
        48001 => "api unauthorized",
        errcode::PLAYER_INACTIVE => "code is expired",
        errcode::DATE_FORMAT => "date format error",
        errcode::DATE_RANGE => "date range error",
        errcode::DATA_NOT_READY => "data not ready",
        errcode::SIG_METHOD => "invalid sig_method",
        errcode::SIGNATURE => "invalid signature",
        errcode::RISKY_CONTENT => "risky content",
        _ => "error",
    }
}
