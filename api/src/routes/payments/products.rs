//! `GET /api/wx/products`: what is for sale.

use avalon_core::payments::products::{self, Product};
use avalon_core::storage::database::Database;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::problem::ApiError;
use crate::http::problem_sets::{DATABASE, LIMITED, problems};
use crate::state::App;

problems!(ProductsProblems: LIMITED, DATABASE);

pub(crate) fn routes() -> OpenApiRouter<App> {
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
        ProductsProblems,
    ),
)]
async fn list(State(database): State<Database>) -> Result<Json<Products>, ApiError> {
    let products = products::list(&database, true).await?;
    Ok(Json(Products { products }))
}
