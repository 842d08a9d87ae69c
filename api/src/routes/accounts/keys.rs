//! `GET /.well-known/jwks.json`: the keys that verify players' tokens, for the game's own services.

use avalon_core::accounts::tokens::Jwks;
use avalon_core::base::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(jwks))
}

/// The public keys of tokens (RFC 7517).
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    tag = "keys",
    responses(
        (status = 200, description = "The current key first, then previous ones", body = Jwks),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn jwks(State(state): State<ApiState>) -> impl IntoResponse {
    // A new key is published some minutes before it signs, so this may be cached for a while.
    (
        [(header::CACHE_CONTROL, "public, max-age=300")],
        Json(state.tokens.jwks().clone()),
    )
}
