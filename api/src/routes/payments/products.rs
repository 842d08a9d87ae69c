//! `GET /api/wx/products`: the products for sale.

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

/// A list of products.
#[derive(Serialize, ToSchema)]
struct Products {
    /// Ordered by id.
    products: Vec<Product>,
}

/// Lists the products for sale.
#[utoipa::path(
    get,
    path = "/api/wx/products",
    tag = "payments",
    responses(
        (status = 200, description = "All products for sale", body = Products),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn list(State(state): State<ApiState>) -> Result<Json<Products>, ApiError> {
    let products = products::list(&state.database, true).await?;
    Ok(Json(Products { products }))
}
