//! How bodies, queries and tokens are read: into typed values, or a problem that says what is wrong.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use avalon_core::accounts::tokens::Claims;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_queue::JobId;
use axum::body::HttpBody;
use axum::body::{Body, Bytes};
use axum::extract::{
    ConnectInfo, FromRequest, FromRequestParts, OptionalFromRequest, Path, Query, Request,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::http::problem::ApiError;
use crate::middleware::guard::Caller;
use crate::state::ApiState;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a body that is refused is still read, so that the client gets to see the answer
/// instead of a broken connection.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// How large a body the routes of a state take.
pub(crate) trait BodyLimit {
    /// Most bytes of a body.
    fn max_body(&self) -> usize;
}

impl BodyLimit for ApiState {
    fn max_body(&self) -> usize {
        self.max_body
    }
}

/// A JSON body.
pub(crate) struct JsonBody<T>(pub(crate) T);

/// A body that may be left out.
impl<T: DeserializeOwned, S: BodyLimit + Sync> OptionalFromRequest<S> for JsonBody<T> {
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

impl<T: DeserializeOwned, S: BodyLimit + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, &parts.headers, state.max_body()).await?;
        if bytes.is_empty() {
            return Err(ProblemCode::BodyMissing.into());
        }
        if !is_json(&parts.headers) {
            return Err(ProblemCode::UnsupportedMediaType.into());
        }
        parse(&bytes).map(JsonBody).map_err(ApiError)
    }
}

/// The body as it came, unless it is too large or too slow.
pub(crate) async fn read(body: Body, headers: &HeaderMap, most: usize) -> Result<Bytes, ApiError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    let limited = tokio::time::timeout(BODY_TIMEOUT, async {
        if announced.is_some_and(|length| length > most) {
            linger(body).await;
            return Err(too_large(most));
        }
        collect(body, most).await
    });
    limited
        .await
        .unwrap_or_else(|_| Err(ProblemCode::RequestTimeout.into()))
}

async fn collect(body: Body, most: usize) -> Result<Bytes, ApiError> {
    let mut stream = body.into_data_stream();
    let mut first = Bytes::new();
    let mut rest: Vec<u8> = Vec::new();
    while let Some(chunk) = stream.next().await {
        // The client went away or broke the protocol; nobody hears this answer.
        let chunk = chunk.map_err(|_| ApiError::from(ProblemCode::BodyNotJson))?;
        if first.len().max(rest.len()) + chunk.len() > most {
            linger(Body::from_stream(stream)).await;
            return Err(too_large(most));
        }
        // Most bodies arrive in one piece, which need not be copied.
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

async fn linger(body: Body) {
    let mut stream = body.into_data_stream();
    let mut seen = 0;
    while let Some(Ok(chunk)) = stream.next().await {
        seen += chunk.len();
        if seen > LINGER_BYTES {
            return;
        }
    }
}

fn too_large(most: usize) -> ApiError {
    Problem::new(ProblemCode::BodyTooLarge)
        .with_detail(format!("The body may have at most {most} bytes."))
        .into()
}

/// Whether the body is sent as JSON.
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

/// Parses JSON; the problem names the field.
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

/// A field has a value that it may not have.
pub(crate) fn invalid_field(field: &str, message: impl std::fmt::Display) -> Problem {
    let field = if field == "." { "the body" } else { field };
    Problem::new(ProblemCode::FieldInvalid).with_detail(format!("{field}: {message}"))
}

/// A short text without control characters; an empty one is none.
pub(crate) fn plain(
    name: &str,
    text: Option<String>,
    most: usize,
) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.chars().count() > most => Err(invalid_field(
            name,
            format!("may have at most {most} characters"),
        )),
        Some(text) if text.chars().any(char::is_control) => {
            Err(invalid_field(name, "may not have control characters"))
        }
        text => Ok(text.filter(|text| !text.is_empty())),
    }
}

/// A parameter of the path or the query has a value that it may not have.
pub(crate) fn invalid_query(name: &str, message: impl std::fmt::Display) -> Problem {
    Problem::new(ProblemCode::QueryInvalid).with_detail(format!("{name}: {message}"))
}

/// The query string.
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| {
                Problem::new(ProblemCode::QueryInvalid).with_detail(rejection.body_text())
            })?;
        Ok(Self(query.0))
    }
}

/// The job that the path names. What is no id names no job.
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

/// The address at the other end of the connection, which may be a proxy's.
pub(crate) struct Peer(pub(crate) Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(peer.map(|ConnectInfo(peer)| peer.ip().to_canonical())))
    }
}

/// The player whose token the request carries, if it carries one. A token that is not good is
/// refused even where none is needed.
pub(crate) struct MaybePlayer(pub(crate) Option<Arc<Claims>>);

impl FromRequestParts<ApiState> for MaybePlayer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, ApiError> {
        match parts.extensions.get::<Caller>() {
            Some(Caller::Anonymous) => Ok(Self(None)),
            Some(Caller::Player(claims)) => Ok(Self(Some(Arc::clone(claims)))),
            Some(Caller::Refused(error)) => Err(error.clone()),
            // A route that the guard does not stand before.
            None => Err(ProblemCode::Internal.into()),
        }
    }
}

/// The player whose token the request carries; without one it is refused.
pub(crate) struct Player(pub(crate) Arc<Claims>);

impl FromRequestParts<ApiState> for Player {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let MaybePlayer(claims) = MaybePlayer::from_request_parts(parts, state).await?;
        Ok(Self(claims.ok_or(ProblemCode::Unauthenticated)?))
    }
}

/// The token of an `Authorization: Bearer …` header. The scheme's case does not matter (RFC 9110).
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code, reason = "only its parsing matters")]
    struct Sample {
        code: String,
    }

    #[test]
    fn what_is_wrong_with_a_body_has_a_code_of_its_own() {
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
}
