//! `GET /api/wx/products`: the products for sale.

use avalon_core::payments::products::{self, Product};
use avalon_core::storage::database::Database;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::state::App;

problems! { ProductsProblems: LIMITED DATABASE }

pub(crate) fn routes() -> OpenApiRouter<App> {
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
    operation_id = "listProducts",
    tag = "payments",
    responses(
        (status = 200, description = "All products for sale", body = Products),
        ProductsProblems,
    ),
)]
async fn list(State(database): State<Database>) -> Result<Json<Products>, ApiError> {
    let products = products::list(&database, true).await?;
    Ok(Json(Products { products }))
}
