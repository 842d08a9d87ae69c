//! `/admin/gifts`: what the ids of WeChat's gift packs mean here, and the gifts that were pushed.

use avalon_core::audit::{self, AuditKind};
use avalon_core::base::ids::PushId;
use avalon_core::payments::PaymentError;
use avalon_core::social::gifts::{self, GiftFilter, GiftId, GiftMapping, InvalidGiftId};
use avalon_core::social::rewards::RewardItem;
use avalon_core::storage::database::Database;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::routing::{get, put};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::OpsState;
use super::audit::by_operator;
use crate::http::extract::{JsonBody, Peer, QueryOf, invalid_field, invalid_query};
use crate::http::problem::ApiError;
use crate::routes::payments::shop::MAX_COUNTED;

pub(super) fn routes() -> Router<OpsState> {
    Router::new()
        .route("/admin/gifts", get(list))
        .route("/admin/gifts/{id}", put(change))
}

/// Maximum number of products of a mapping.
const MAX_ITEMS: usize = 20;
/// Waiting gifts that are looked at within the request; the sweeper looks at the others.
const AT_ONCE: i64 = 100;

/// The id of the path; its mapping may not exist yet.
struct GiftPath(GiftId);

impl<S: Send + Sync> FromRequestParts<S> for GiftPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        // A path that is not text is as invalid as any other text.
        let id = id.map_or_else(|_| String::new(), |Path(id)| id);
        let id = id.try_into().map(Self);
        id.map_err(|error: InvalidGiftId| invalid_query("id", error).into())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GiftBody {
    items: Vec<RewardItem>,
}

/// Creates or replaces a mapping, and grants gifts that waited for it.
async fn change(
    State(database): State<Database>,
    peer: Peer,
    GiftPath(id): GiftPath,
    JsonBody(GiftBody { items }): JsonBody<GiftBody>,
) -> Result<Json<Value>, ApiError> {
    let counted = |item: &RewardItem| (1..=MAX_COUNTED).contains(&i64::from(item.quantity));
    if !(1..=MAX_ITEMS).contains(&items.len()) || !items.iter().all(counted) {
        let rule = format!("1 to {MAX_ITEMS} products, each at least once, are needed");
        return Err(invalid_field("items", rule).into());
    }
    let repeated = |(index, item): (usize, &RewardItem)| {
        items[..index]
            .iter()
            .any(|before| before.product_id == item.product_id)
    };
    if items.iter().enumerate().any(repeated) {
        return Err(invalid_field("items", "must not repeat a product").into());
    }
    let now = Timestamp::now();
    let mapping = GiftMapping { id, items };
    match gifts::put(&database, &mapping, now).await {
        Err(PaymentError::UnknownProduct) => {
            return Err(invalid_field("items", "must be products").into());
        }
        done => done?,
    }
    let event = by_operator(AuditKind::GiftChanged, peer).with("giftId", mapping.id.as_str());
    audit::record(&database, event).await;
    let (granted, _) = gifts::grant_waiting(&database, None, AT_ONCE, now).await?;
    Ok(Json(
        json!({"id": mapping.id, "items": mapping.items, "granted": granted}),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    status: Option<String>,
    cursor: Option<PushId>,
    limit: Option<i64>,
}

/// Lists mappings and pushed gifts, newest first. A gift names its push, which can be replayed.
async fn list(
    State(database): State<Database>,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<Value>, ApiError> {
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let waiting = match query.status.as_deref() {
        None => false,
        Some("waiting") => true,
        Some(_) => return Err(invalid_query("status", "must be waiting").into()),
    };
    let filter = GiftFilter {
        waiting,
        cursor: query.cursor,
        limit,
    };
    let orders = gifts::orders(&database, &filter).await?;
    let full = i64::try_from(orders.len()).is_ok_and(|count| count == limit);
    let next = orders.last().filter(|_| full).map(|order| order.push_id);
    let gifts = gifts::mappings(&database).await?;
    Ok(Json(
        json!({"gifts": gifts, "orders": orders, "nextCursor": next}),
    ))
}
