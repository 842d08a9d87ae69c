//! `GET /.well-known/jwks.json`: the keys that verify players' tokens, for the game's other services.

use std::sync::Arc;

use avalon_core::accounts::tokens::{Jwks, TokenVerifier};
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::problem_sets::problems;
use crate::state::App;

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(jwks))
}

problems! { JwksProblems: LIMITED }

/// The public keys of tokens (RFC 7517).
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "getJwks",
    tag = "keys",
    responses(
        (status = 200, description = "The current key first, then previous ones", body = Jwks),
        JwksProblems,
    ),
)]
async fn jwks(State(tokens): State<Arc<TokenVerifier>>) -> impl IntoResponse {
    // A new key is published some minutes before it is used, so this may be cached for a while.
    (
        [(header::CACHE_CONTROL, "public, max-age=300")],
        Json(tokens.jwks().clone()),
    )
}
