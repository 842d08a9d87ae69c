//! A player's orders: jobs create and cancel them, since that takes the payment channel; reading them
//! does not.

use avalon_core::base::ids::OrderId;
use avalon_core::jobs::cancel_order::OrderAnswer;
use avalon_core::jobs::{CancelOrder, CreateOrder};
use avalon_core::payments::order_reader::OrderReader;
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::{Channel, EnvVersion, OrderStatus, PayWith, PaymentError, Platform};
use avalon_core::storage::database::Database;
use avalon_wechat::OpenId;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::extract::{JsonBody, QueryOf, invalid_query};
use crate::http::job_response::{Accepted, JobResponder, uncached};
use crate::http::problem::ApiError;
use crate::http::problem_sets::problems;
use crate::middleware::caller::Player;
use crate::middleware::client_address::ClientAddress;
use crate::routes::payments::shop::{
    MAX_ORDERED, OpenChannels, OrderPath, RequestKey, bounded, order_of_player, product_id,
};
use crate::state::App;

problems! {
    CreateProblems: PLAYER BODY JOB DATABASE PAY; HeaderInvalid RiskDenied ProductNotFound
        OutOfStock LimitReached TooManyPending OrderState PaymentRefused IdempotencyKeyReused
        NotEnoughCoins RefundBlocked SignInAgain
}
problems! { ShowProblems: PLAYER DATABASE; OrderNotFound }
problems! { ListProblems: PLAYER DATABASE; QueryInvalid }
problems! { CancelProblems: PLAYER JOB DATABASE PAY; OrderNotFound OrderState }

pub(crate) fn routes() -> OpenApiRouter<App> {
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
    /// Where the player buys, as `wx.getDeviceInfo().platform` names it: decides the payment channel.
    #[serde(default)]
    platform: Option<Platform>,
    /// The build of the mini-game, as `wx.getAccountInfoSync` names it; builds that are not released may order in
    /// the sandbox, if the server is so configured.
    #[serde(default)]
    env_version: Option<EnvVersion>,
    /// The payment channel, instead of the platform's.
    #[serde(default)]
    channel: Option<Channel>,
    /// What to pay with: money, by default, or the player's coins.
    #[serde(default)]
    pay_with: PayWith,
}

/// An order that can be paid, or that was paid with coins.
#[derive(ToSchema)]
#[schema(as = CreatedOrder, rename_all = "camelCase")]
#[allow(dead_code, reason = "describes the job's result")]
struct CreatedOrderBody {
    /// The order.
    #[schema(example = "01JZ5N4V7W8X9YABCDEFGHJKMN")]
    order_id: String,
    /// None: it is paid.
    pay_params: Option<PayParamsBody>,
}

/// The parameters of the client's payment call, under its names.
#[derive(ToSchema)]
#[schema(as = PayParams)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes the job's result")]
enum PayParamsBody {
    WechatPay(WechatPayParams),
    VirtualPayment(VirtualPaymentParams),
}

/// The parameters of `wx.requestMidasPaymentGameItem`.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code, reason = "describes the job's result")]
struct VirtualPaymentParams {
    #[schema(example = "virtual_payment")]
    channel: String,
    /// `goods` or `coins`.
    mode: String,
    /// To be passed on as a string, byte for byte.
    sign_data: String,
    pay_sig: String,
    /// Valid until the player's next sign-in; a repeated request signs again.
    signature: String,
}

/// The parameters of `wx.requestPayment`.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code, reason = "describes the job's result")]
struct WechatPayParams {
    #[schema(example = "wechat_pay")]
    channel: String,
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
    operation_id = "createOrder",
    tag = "payments",
    request_body = CreateOrderRequest,
    params(
        ("Idempotency-Key" = String, Header, description = "1 to 64 visible ASCII characters, the client's own name of this order"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` (seconds, at most 30) or `respond-async`"),
    ),
    responses(
        (status = 200, description = "The order can be paid", body = CreatedOrderBody),
        (status = 202, description = "Not finished yet: poll the job", body = Accepted),
        CreateProblems,
    ),
    security(("token" = [])),
)]
async fn create(
    State(channels): State<OpenChannels>,
    ClientAddress(address): ClientAddress,
    Player(player): Player,
    RequestKey(idempotency_key): RequestKey,
    jobs: JobResponder,
    JsonBody(request): JsonBody<CreateOrderRequest>,
) -> Result<Response, ApiError> {
    let order = CreateOrder {
        user_id: player.sub,
        open_id: OpenId::new(&*player.oid),
        product_id: product_id(request.product_id)?,
        quantity: bounded("quantity", request.quantity, 1..=MAX_ORDERED)?,
        idempotency_key,
        platform: request.platform,
        env_version: request.env_version,
        channel: request.channel,
        pay_with: request.pay_with,
        session_id: Some(player.sid),
        client_ip: Some(address),
    };
    channels.require(match order.pay_with {
        PayWith::Money => order.channel,
        PayWith::Coins => Some(Channel::VirtualPayment),
    })?;
    jobs.respond(&order).await
}

/// Returns an order.
#[utoipa::path(
    get,
    path = "/api/wx/getOrder/{orderId}",
    operation_id = "getOrder",
    tag = "payments",
    params(("orderId" = String, Path, description = "From `createOrder`")),
    responses(
        (status = 200, description = "The order in its current state", body = OrderAnswer),
        ShowProblems,
    ),
    security(("token" = [])),
)]
async fn show(
    State(orders): State<OrderReader>,
    Player(player): Player,
    OrderPath(id): OrderPath,
) -> Result<Response, ApiError> {
    let order = order_of_player(&orders, id, player.sub).await?;
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
    operation_id = "listOrders",
    tag = "payments",
    params(OrdersQuery),
    responses(
        (status = 200, description = "A page of orders", body = Orders),
        ListProblems,
    ),
    security(("token" = [])),
)]
async fn list(
    State(database): State<Database>,
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
        order_rows::of_user(&database, player.sub, query.status, cursor, limit + 1).await?;
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
    operation_id = "cancelOrder",
    tag = "payments",
    params(
        ("orderId" = String, Path, description = "From `createOrder`"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` (seconds, at most 30) or `respond-async`"),
    ),
    responses(
        (status = 200, description = "The order is closed", body = OrderAnswer),
        (status = 202, description = "Not finished yet: poll the job", body = Accepted),
        CancelProblems,
    ),
    security(("token" = [])),
)]
async fn cancel(
    State(orders): State<OrderReader>,
    State(channels): State<OpenChannels>,
    Player(player): Player,
    OrderPath(order_id): OrderPath,
    jobs: JobResponder,
) -> Result<Response, ApiError> {
    let order = order_of_player(&orders, order_id, player.sub).await?;
    match order.status {
        OrderStatus::Pending => {}
        OrderStatus::Closed => return Ok(uncached(Json(OrderAnswer { order }))),
        status => return Err(PaymentError::StateForbids(status).into()),
    }
    channels.require_any()?;
    let user_id = player.sub;
    jobs.respond(&CancelOrder { order_id, user_id }).await
}
