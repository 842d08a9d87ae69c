//! Parses bodies, paths, queries and headers into typed values, or a problem that names what is wrong.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_queue::JobId;
use axum::body::HttpBody;
use axum::body::{Body, Bytes};
use axum::extract::{
    ConnectInfo, FromRef, FromRequest, FromRequestParts, OptionalFromRequest, Path, Query, Request,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::http::problem::ApiError;

/// Maximum size of a JSON body on the routes of a state, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct BodyLimit(pub(crate) usize);

/// A JSON body.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> OptionalFromRequest<S> for JsonBody<T>
where
    BodyLimit: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        if request.body().is_end_stream() {
            return Ok(None);
        }
        <Self as FromRequest<S>>::from_request(request, state)
            .await
            .map(Some)
    }
}

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBody<T>
where
    BodyLimit: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let BodyLimit(max_bytes) = BodyLimit::from_ref(state);
        let bytes = read(body, &parts.headers, max_bytes).await?;
        if bytes.is_empty() {
            return Err(ProblemCode::BodyMissing.into());
        }
        if !is_json(&parts.headers) {
            return Err(ProblemCode::UnsupportedMediaType.into());
        }
        if has_nul(&bytes) {
            return Err(invalid_field("the body", "must not contain \\u0000").into());
        }
        parse(&bytes).map(JsonBody).map_err(ApiError)
    }
}

/// Reads a body of at most `max_bytes`. One that is announced larger is rejected without being read; the
/// time limit is that of the request.
pub(crate) async fn read(
    body: Body,
    headers: &HeaderMap,
    max_bytes: usize,
) -> Result<Bytes, ApiError> {
    let content_length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    if content_length.is_some_and(|length| length > max_bytes) {
        return Err(too_large(max_bytes));
    }
    collect(body, max_bytes).await
}

async fn collect(body: Body, max_bytes: usize) -> Result<Bytes, ApiError> {
    let mut stream = body.into_data_stream();
    let mut first = Bytes::new();
    let mut rest: Vec<u8> = Vec::new();
    while let Some(chunk) = stream.next().await {
        // The client disconnected or violated the protocol, so it does not see this response.
        let chunk = chunk.map_err(|_| ApiError::from(ProblemCode::BodyNotJson))?;
        if first.len().max(rest.len()) + chunk.len() > max_bytes {
            return Err(too_large(max_bytes));
        }
        // Most bodies arrive as one chunk, which need not be copied.
        if first.is_empty() && rest.is_empty() {
            first = chunk;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&chunk);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.into() })
}

fn too_large(max_bytes: usize) -> ApiError {
    Problem::new(ProblemCode::BodyTooLarge)
        .with_detail(format!("The body is larger than {max_bytes} bytes."))
        .into()
}

/// Whether the `Content-Type` is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// Whether a string of the JSON text has a NUL, which Postgres cannot store.
fn has_nul(json: &[u8]) -> bool {
    let mut escapes = json.windows(6).enumerate();
    // After an odd number of backslashes, this one is itself escaped.
    escapes.any(|(at, window)| {
        let before = json[..at].iter().rev();
        window == br"\u0000" && before.take_while(|byte| **byte == b'\\').count() % 2 == 0
    })
}

/// Parses JSON; the problem names the invalid field.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let field = error.path().to_string();
        let cause = error.inner();
        if !cause.is_data() {
            return Problem::new(ProblemCode::BodyNotJson).with_detail(cause.to_string());
        }
        let message = cause.to_string();
        if let Some(name) = message
            .strip_prefix("missing field `")
            .and_then(|rest| rest.split('`').next())
        {
            return Problem::new(ProblemCode::FieldMissing)
                .with_detail(format!("{name}: this field is required"));
        }
        invalid_field(&field, &message)
    })?;
    reader
        .end()
        .map_err(|error| Problem::new(ProblemCode::BodyNotJson).with_detail(error.to_string()))?;
    Ok(value)
}

/// A field of the body is invalid.
pub(crate) fn invalid_field(field: &str, message: impl std::fmt::Display) -> Problem {
    let field = if field == "." { "the body" } else { field };
    Problem::new(ProblemCode::FieldInvalid).with_detail(format!("{field}: {message}"))
}

/// Accepts a text of at most `max_chars` without control characters; an empty one counts as absent.
pub(crate) fn plain(
    name: &str,
    text: Option<String>,
    max_chars: usize,
) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.chars().count() > max_chars => Err(invalid_field(
            name,
            format!("must have at most {max_chars} characters"),
        )),
        Some(text) if text.chars().any(char::is_control) => {
            Err(invalid_field(name, "must not contain control characters"))
        }
        text => Ok(text.filter(|text| !text.is_empty())),
    }
}

/// A parameter of the path or the query is invalid.
pub(crate) fn invalid_query(name: &str, message: impl std::fmt::Display) -> Problem {
    Problem::new(ProblemCode::QueryInvalid).with_detail(format!("{name}: {message}"))
}

/// The query string, with our problem as its rejection. A NUL is rejected: Postgres cannot compare it.
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(invalid_query("the query", "must not contain NUL").into());
        }
        let query = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| {
                Problem::new(ProblemCode::QueryInvalid).with_detail(rejection.body_text())
            })?;
        Ok(Self(query.0))
    }
}

/// The job id in the path. One that is malformed is a job that does not exist.
pub(crate) struct JobPath(pub(crate) JobId);

impl<S: Send + Sync> FromRequestParts<S> for JobPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let id = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = id
            .and_then(|Path(id)| id.parse().ok())
            .ok_or(ProblemCode::JobNotFound)?;
        Ok(Self(id))
    }
}

/// The peer address of the connection, which may be that of a proxy.
pub(crate) struct Peer(pub(crate) Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(peer.map(|ConnectInfo(peer)| peer.ip().to_canonical())))
    }
}

/// The token of an `Authorization: Bearer …` header. The scheme's case does not matter (RFC 9110).
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::to_bytes;
    use axum::http::StatusCode;
    use axum::routing::post;
    use tower::ServiceExt;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Sample {
        code: String,
    }

    #[test]
    fn each_defect_of_a_body_has_its_code() {
        let code = |body: &str| parse::<Sample>(body.as_bytes()).unwrap_err().code;
        assert_eq!(code("{"), ProblemCode::BodyNotJson);
        assert_eq!(code("hello"), ProblemCode::BodyNotJson);
        assert_eq!(code("{\"code\":\"a\"} x"), ProblemCode::BodyNotJson);
        assert_eq!(code(&"[".repeat(100_000)), ProblemCode::FieldInvalid);
        assert_eq!(
            code(&format!("{{\"x\":{}", "[".repeat(100_000))),
            ProblemCode::BodyNotJson
        );
        assert_eq!(code("{}"), ProblemCode::FieldMissing);
        assert_eq!(code("{\"code\":5}"), ProblemCode::FieldInvalid);
        assert_eq!(code("null"), ProblemCode::FieldInvalid);
        let problem = parse::<Sample>(b"{\"code\":5}").unwrap_err();
        assert!(problem.detail.starts_with("code: "), "{}", problem.detail);
    }

    #[tokio::test]
    async fn nul_in_a_query_or_body_is_rejected() {
        #[derive(serde::Deserialize)]
        struct Named {
            name: String,
        }
        let query = async |query: &str| {
            let request = Request::get(format!("/?{query}")).body(Body::empty());
            let (mut parts, _) = request.unwrap().into_parts();
            let read = QueryOf::<Named>::from_request_parts(&mut parts, &()).await;
            read.map(|QueryOf(named)| named.name)
                .map_err(|error| error.0.code)
        };
        assert_eq!(query("name=a%2500").await, Ok("a%00".to_owned()));
        assert_eq!(query("name=a%00").await, Err(ProblemCode::QueryInvalid));
        for (text, expected) in [
            (r#"{"code":"a\u0000"}"#, StatusCode::UNPROCESSABLE_ENTITY),
            (r#"{"code":"a\\\u0000"}"#, StatusCode::UNPROCESSABLE_ENTITY),
            (r#"{"code":"a\\u0000"}"#, StatusCode::OK),
            (r#"{"code":"a\u0001"}"#, StatusCode::OK),
        ] {
            let (status, body) = send("/required", "application/json", text).await;
            assert_eq!(status, expected, "{text}: {body}");
        }
    }

    /// Posts to a route that takes an optional or a required [`Sample`]; returns status and body.
    async fn send(path: &str, content_type: &str, body: impl Into<Body>) -> (StatusCode, String) {
        async fn required(JsonBody(sample): JsonBody<Sample>) -> String {
            sample.code
        }
        async fn optional(sample: Option<JsonBody<Sample>>) -> String {
            sample.map_or_else(|| "none".to_owned(), |JsonBody(sample)| sample.code)
        }
        let router = Router::new()
            .route("/required", post(required))
            .route("/optional", post(optional))
            .with_state(BodyLimit(64));
        let request = Request::post(path).header(header::CONTENT_TYPE, content_type);
        let response = router.oneshot(request.body(body.into()).unwrap()).await;
        let (parts, body) = response.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, String::from_utf8(body.into()).unwrap())
    }

    #[tokio::test]
    async fn rejected_bodies_have_their_status_and_code() {
        let (json, large) = ("application/json", format!("{{\"code\":\"{:60}\"}}", ""));
        for (content_type, body, status, code) in [
            (json, "", 400, "BODY_MISSING"),
            (json, "{", 400, "BODY_NOT_JSON"),
            (json, large.as_str(), 413, "BODY_TOO_LARGE"),
            (
                "text/plain",
                "{\"code\":\"a\"}",
                415,
                "UNSUPPORTED_MEDIA_TYPE",
            ),
            (json, "{}", 422, "FIELD_MISSING"),
            (json, "{\"code\":1}", 422, "FIELD_INVALID"),
        ] {
            let (seen, problem) = send("/required", content_type, body.to_owned()).await;
            assert_eq!(seen, status, "{body}");
            assert!(
                problem.contains(&format!("\"code\":\"{code}\"")),
                "{problem}"
            );
        }
        // A body without Content-Length is limited too.
        let chunks = [
            Ok::<_, Infallible>(large[..40].to_owned()),
            Ok(large[40..].to_owned()),
        ];
        let stream = Body::from_stream(futures_util::stream::iter(chunks));
        assert_eq!(send("/required", json, stream).await.0, 413);
    }

    #[tokio::test]
    async fn json_body_is_parsed_and_may_be_optional() {
        let json = "Application/JSON; charset=utf-8";
        let body = "{\"code\":\"a\"}";
        for path in ["/required", "/optional"] {
            assert_eq!(
                send(path, json, body).await,
                (StatusCode::OK, "a".to_owned())
            );
        }
        let absent = send("/optional", json, Body::empty()).await;
        assert_eq!(absent, (StatusCode::OK, "none".to_owned()));
        assert_eq!(send("/optional", json, "{}").await.0, 422);
    }

    #[tokio::test]
    async fn malformed_query_and_job_id_are_problems() {
        #[derive(serde::Deserialize)]
        struct Limit {
            limit: u8,
        }
        let router: Router = Router::new()
            .route(
                "/query",
                post(async |QueryOf(Limit { limit })| limit.to_string()),
            )
            .route("/jobs/{id}", post(async |JobPath(id)| id.to_string()));
        for (uri, status) in [
            ("/query?limit=7", 200),
            ("/query?limit=x", 400),
            ("/query", 400),
            ("/jobs/01JZ5N4V7W8X9YABCDEFGHJKMN", 200),
            ("/jobs/x", 404),
        ] {
            let request = Request::post(uri).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), status, "{uri}");
        }
    }
}
