//! A player's orders: jobs create and cancel them, since that takes the payment channel; reading them
//! does not.

use avalon_core::base::ids::OrderId;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs::cancel_order::OrderAnswer;
use avalon_core::jobs::{CancelOrder, CreateOrder};
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::{OrderStatus, PaymentError};
use avalon_queue::NewJob;
use avalon_wechat::OpenId;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::answer::{Accepted, answer_by_job, uncached};
use crate::http::extract::{JsonBody, Player, QueryOf, invalid_query};
use crate::http::preference::Preference;
use crate::http::problem::ApiError;
use crate::middleware::client_address::ClientAddress;
use crate::middleware::pipeline::Trace;
use crate::routes::payments::shop::{
    MAX_ORDERED, OrderPath, RequestKey, bounded, order_of_player, product_id,
};
use crate::state::ApiState;

pub(crate) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(show))
        .routes(routes!(list))
        .routes(routes!(cancel))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CreateOrderRequest {
    /// A product from the list of products.
    #[schema(min_length = 1, max_length = 32, pattern = "^[A-Za-z0-9_-]+$")]
    product_id: String,
    /// Number of pieces.
    #[schema(minimum = 1, maximum = 10_000)]
    quantity: i64,
}

/// An order that can be paid.
#[derive(ToSchema)]
#[schema(as = CreatedOrder, rename_all = "camelCase")]
#[allow(dead_code, reason = "describes the job's result")]
struct CreatedOrderBody {
    /// The order.
    #[schema(example = "01JZ5N4V7W8X9YABCDEFGHJKMN")]
    order_id: String,
    pay_params: PayParamsBody,
}

/// The parameters of `wx.requestPayment`, under its names.
#[derive(ToSchema)]
#[schema(as = PayParams, rename_all = "camelCase")]
#[allow(dead_code, reason = "describes the job's result")]
struct PayParamsBody {
    /// Unix seconds, as text.
    time_stamp: String,
    nonce_str: String,
    /// `prepay_id=…`.
    package: String,
    #[schema(example = "RSA")]
    sign_type: String,
    pay_sign: String,
}

/// Creates an order.
///
/// The same `Idempotency-Key` with the same body gives the same order, with fresh payment parameters. A problem
/// names the order in `orderId` once there is one.
#[utoipa::path(
    post,
    path = "/api/wx/createOrder",
    tag = "payments",
    request_body = CreateOrderRequest,
    params(
        ("Idempotency-Key" = String, Header, description = "1 to 64 visible ASCII characters, the client's own name of this order"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` (seconds, at most 30) or `respond-async`"),
    ),
    responses(
        (status = 200, description = "The order can be paid", body = CreatedOrderBody),
        (status = 202, description = "Not done yet: poll the job", body = Accepted),
        (status = 400, description = "No body, not JSON, or no valid Idempotency-Key", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "WeChat rates the player as a risk, or the player is banned", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such product for sale", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Out of stock, the player's limit is reached, too much is unpaid, the order has ended, or WeChat refused it", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not sent as application/json", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing or wrong, or the key was used with another request", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "WeChat Pay, the queue or the database is unavailable, or payments are not configured", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
async fn create(
    State(state): State<ApiState>,
    Extension(trace): Extension<Trace>,
    ClientAddress(address): ClientAddress,
    Player(player): Player,
    RequestKey(idempotency_key): RequestKey,
    headers: HeaderMap,
    JsonBody(request): JsonBody<CreateOrderRequest>,
) -> Result<Response, ApiError> {
    let order = CreateOrder {
        user_id: player.sub,
        open_id: OpenId::new(&*player.oid),
        product_id: product_id(request.product_id)?,
        quantity: bounded("quantity", request.quantity, 1..=MAX_ORDERED)?,
        idempotency_key,
        client_ip: Some(address),
    };
    payments_enabled(&state)?;
    let job = NewJob::from_job(&order);
    let preference = Preference::of(&headers, state.max_wait);
    answer_by_job(&state, job, &trace, preference).await
}

/// Rejects a request whose job no worker could execute.
fn payments_enabled(state: &ApiState) -> Result<(), ProblemCode> {
    match state.pay {
        Some(_) => Ok(()),
        None => Err(ProblemCode::PaymentsDisabled),
    }
}

/// Returns an order.
#[utoipa::path(
    get,
    path = "/api/wx/getOrder/{orderId}",
    tag = "payments",
    params(("orderId" = String, Path, description = "From `createOrder`")),
    responses(
        (status = 200, description = "The order in its current state", body = OrderAnswer),
        (status = 401, description = "No valid token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The player is banned", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such order, or not yours", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
async fn show(
    State(state): State<ApiState>,
    Player(player): Player,
    OrderPath(id): OrderPath,
) -> Result<Response, ApiError> {
    let order = order_of_player(&state.database, id, player.sub).await?;
    Ok(uncached(Json(OrderAnswer { order })))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OrdersQuery {
    /// `nextCursor` of the previous page.
    cursor: Option<String>,
    /// Maximum number of orders per page; 20 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// Only orders in this state.
    #[param(inline)]
    status: Option<OrderStatus>,
}

/// A page of orders.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Orders {
    /// Newest first.
    orders: Vec<Order>,
    /// Cursor of the next page; none on the last page.
    #[schema(value_type = Option<String>)]
    next_cursor: Option<OrderId>,
}

/// Lists the player's orders, newest first.
#[utoipa::path(
    get,
    path = "/api/wx/orders",
    tag = "payments",
    params(OrdersQuery),
    responses(
        (status = 200, description = "A page of orders", body = Orders),
        (status = 400, description = "The query is malformed", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No valid token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The player is banned", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
async fn list(
    State(state): State<ApiState>,
    Player(player): Player,
    QueryOf(query): QueryOf<OrdersQuery>,
) -> Result<Response, ApiError> {
    let limit = query.limit.unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return Err(invalid_query("limit", "must be between 1 and 100").into());
    }
    let cursor = query.cursor.map(|cursor| cursor.parse()).transpose();
    let cursor = cursor.map_err(|_| invalid_query("cursor", "is not one that was issued"))?;
    // One more than requested shows whether there is a next page.
    let mut orders =
        order_rows::of_user(&state.database, player.sub, query.status, cursor, limit + 1).await?;
    let page = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = orders.len() > page;
    orders.truncate(page);
    let last = orders.last().filter(|_| more);
    let next_cursor = last.map(|order| order.id);
    Ok(uncached(Json(Orders {
        orders,
        next_cursor,
    })))
}

/// Cancels an unpaid order.
///
/// WeChat closes the order first. If the player's payment was faster, the order is paid and the response is
/// `409 ORDER_STATE`. Cancelling a closed order changes nothing.
#[utoipa::path(
    post,
    path = "/api/wx/cancelOrder/{orderId}",
    tag = "payments",
    params(
        ("orderId" = String, Path, description = "From `createOrder`"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` (seconds, at most 30) or `respond-async`"),
    ),
    responses(
        (status = 200, description = "The order is closed", body = OrderAnswer),
        (status = 202, description = "Not done yet: poll the job", body = Accepted),
        (status = 401, description = "No valid token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The player is banned", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such order, or not yours", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The order is paid or has failed", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "WeChat Pay, the queue or the database is unavailable, or payments are not configured", body = Problem, content_type = "application/problem+json"),
    ),
    security(("token" = [])),
)]
async fn cancel(
    State(state): State<ApiState>,
    Extension(trace): Extension<Trace>,
    Player(player): Player,
    OrderPath(order_id): OrderPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let order = order_of_player(&state.database, order_id, player.sub).await?;
    match order.status {
        OrderStatus::Pending => {}
        OrderStatus::Closed => return Ok(uncached(Json(OrderAnswer { order }))),
        status => return Err(PaymentError::StateForbids(status).into()),
    }
    payments_enabled(&state)?;
    let user_id = player.sub;
    let job = NewJob::from_job(&CancelOrder { order_id, user_id });
    let preference = Preference::of(&headers, state.max_wait);
    answer_by_job(&state, job, &trace, preference).await
}
