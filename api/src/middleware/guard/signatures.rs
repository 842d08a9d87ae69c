//! Checks the signature of a player's request, as the policy requires, and claims its nonce.

use avalon_core::accounts::config::SignaturePolicy;
use avalon_core::accounts::sessions::{Session, SessionError};
use avalon_core::base::problem::{Problem, ProblemCode};
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use jiff::Timestamp;

use crate::http::extract::read;
use crate::http::problem::ApiError;
use crate::middleware::request_signature::{NONCE_TTL, RequestSignature, SignedRequest};
use crate::state::ApiState;

/// The largest body that any route accepts, unless the configuration allows more.
const MAX_SIGNED_BYTES: usize = 1024 * 1024;

/// Checks the signature, which requires the body; returns the request unchanged, with the verdict.
///
/// # Errors
/// When the body cannot be read; no route could read it either.
pub(super) async fn check(
    state: &ApiState,
    session: &Session,
    request: Request,
    now: Timestamp,
) -> Result<(Request, Result<(), ApiError>), ApiError> {
    let signed = request.headers().contains_key("x-avalon-signature");
    match state.signatures {
        SignaturePolicy::Off => return Ok((request, Ok(()))),
        SignaturePolicy::Optional if !signed => return Ok((request, Ok(()))),
        SignaturePolicy::Required if !signed => {
            return Ok((request, Err(ProblemCode::SignatureRequired.into())));
        }
        SignaturePolicy::Optional | SignaturePolicy::Required => {}
    }
    let (parts, body) = request.into_parts();
    let max_bytes = state.max_body.max(MAX_SIGNED_BYTES);
    let body = read(body, &parts.headers, max_bytes).await?;
    let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let signed = SignedRequest {
        method: parts.method.as_str(),
        path_and_query,
        body: &body,
    };
    let verdict = verify(state, session, &parts.headers, signed, now).await;
    Ok((Request::from_parts(parts, Body::from(body)), verdict))
}

async fn verify(
    state: &ApiState,
    session: &Session,
    headers: &HeaderMap,
    signed: SignedRequest<'_>,
    now: Timestamp,
) -> Result<(), ApiError> {
    let signature = RequestSignature::read(
        only(headers, "x-avalon-timestamp"),
        only(headers, "x-avalon-nonce"),
        only(headers, "x-avalon-signature"),
        now,
    );
    let key = state.sessions.signing_key(session).map_err(unavailable)?;
    let verified = signature.and_then(|signature| {
        signature.verify(key.expose(), signed)?;
        Ok(signature)
    });
    let signature = verified.map_err(|error| {
        tracing::info!(%error, session_id = %session.id, "request signature rejected");
        Problem::new(error.code()).with_detail(sentence(&error.to_string()))
    })?;
    // Only after the signature is verified: others must not use up the session's nonces.
    let claimed = state
        .sessions
        .claim_nonce(session.id, signature.nonce(), NONCE_TTL)
        .await;
    if !claimed.map_err(unavailable)? {
        tracing::warn!(session_id = %session.id, "signed request replayed");
        return Err(ProblemCode::NonceReused.into());
    }
    Ok(())
}

fn unavailable(error: SessionError) -> ApiError {
    tracing::warn!(%error, "request signature could not be checked");
    error.code().into()
}

/// The value of a header that may occur only once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).chain(['.']).collect()
}
