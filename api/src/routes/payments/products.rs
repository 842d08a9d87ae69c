//! `GET /api/wx/products`: what is for sale.

use avalon_core::base::problem::Problem;
use avalon_core::payments::products::{self, Product};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::problem::ApiError;
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Goods.
#[derive(Serialize, ToSchema)]
struct Products {
    /// In the order of their ids.
    products: Vec<Product>,
}

/// What is for sale.
#[utoipa::path(
    get,
    path = "/api/wx/products",
    tag = "payments",
    responses(
        (status = 200, description = "All goods that are for sale", body = Products),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn list(State(state): State<ApiState>) -> Result<Json<Products>, ApiError> {
    let products = products::list(&state.database, true).await?;
    Ok(Json(Products { products }))
}
