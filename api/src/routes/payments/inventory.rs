//! What a player owns, and consuming it. Needs no job: only the database is involved.

use avalon_core::payments::inventory::{self, Item};
use avalon_core::storage::database::Database;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::extract::JsonBody;
use crate::http::job_response::uncached;
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::caller::Player;
use crate::routes::payments::shop::{MAX_COUNTED, RequestKey, bounded, product_id};
use crate::state::App;

problems! { ItemsProblems: PLAYER DATABASE }
problems! {
    ConsumeProblems: PLAYER BODY DATABASE; HeaderInvalid NotEnoughItems IdempotencyKeyReused
}

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(items))
        .routes(routes!(consume))
}

/// What a player owns.
#[derive(Serialize, ToSchema)]
struct Items {
    items: Vec<Item>,
}

/// The remaining balance of the product.
#[derive(Serialize, ToSchema)]
struct ItemAnswer {
    item: Item,
}

/// Lists what the player owns.
#[utoipa::path(
    get,
    path = "/api/wx/inventory",
    operation_id = "listInventory",
    tag = "payments",
    responses(
        (status = 200, description = "All items", body = Items),
        ItemsProblems,
    ),
    security(("token" = [])),
)]
async fn items(
    State(database): State<Database>,
    Player(player): Player,
) -> Result<Response, ApiError> {
    let items = inventory::items(&database, player.sub).await?;
    Ok(uncached(Json(Items { items })))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ConsumeRequest {
    /// The product.
    #[schema(min_length = 1, max_length = 32, pattern = "^[A-Za-z0-9_-]+$")]
    product_id: String,
    /// Number of pieces.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    quantity: i64,
}

/// Consumes items.
///
/// The same `Idempotency-Key` with the same body gives the same answer and consumes nothing more.
#[utoipa::path(
    post,
    path = "/api/wx/consume",
    operation_id = "consumeItem",
    tag = "payments",
    request_body = ConsumeRequest,
    params(("Idempotency-Key" = String, Header, description = "1 to 64 visible ASCII characters, the client's own name of this request")),
    responses(
        (status = 200, description = "The remaining balance", body = ItemAnswer),
        ConsumeProblems,
    ),
    security(("token" = [])),
)]
async fn consume(
    State(database): State<Database>,
    Player(player): Player,
    RequestKey(key): RequestKey,
    JsonBody(request): JsonBody<ConsumeRequest>,
) -> Result<Response, ApiError> {
    let product = product_id(request.product_id)?;
    let quantity = bounded("quantity", request.quantity, 1..=MAX_COUNTED)?;
    let (user, now) = (player.sub, Timestamp::now());
    let item = inventory::consume(&database, user, &product, quantity, &key, now).await?;
    Ok(uncached(Json(ItemAnswer { item })))
}
