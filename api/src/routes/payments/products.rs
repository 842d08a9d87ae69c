//! `GET /api/wx/products`: the products for sale.

use avalon_core::payments::Platform;
use avalon_core::payments::products::{self, Product};
use avalon_core::storage::database::Database;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::extract::QueryOf;
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::routes::payments::shop::OpenChannels;
use crate::state::App;

problems! { ProductsProblems: LIMITED DATABASE; QueryInvalid }

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A list of products.
#[derive(Serialize, ToSchema)]
struct Products {
    /// Ordered by id.
    products: Vec<Product>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ProductsQuery {
    /// Only products that can be bought there.
    #[param(inline)]
    platform: Option<Platform>,
}

/// Lists the products for sale.
#[utoipa::path(
    get,
    path = "/api/wx/products",
    operation_id = "listProducts",
    tag = "payments",
    params(ProductsQuery),
    responses(
        (status = 200, description = "All products for sale", body = Products),
        ProductsProblems,
    ),
)]
async fn list(
    State(database): State<Database>,
    State(channels): State<OpenChannels>,
    QueryOf(query): QueryOf<ProductsQuery>,
) -> Result<Json<Products>, ApiError> {
    let mut products = products::list(&database, true).await?;
    if let Some(platform) = query.platform {
        products.retain(|product| channels.sell(product, platform));
    }
    Ok(Json(Products { products }))
}
