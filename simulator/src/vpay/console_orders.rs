//! The console's orders: list, payment without a sheet, closing, refunds, and orders of the store.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Vpay;
use super::console::Platform;
use super::orders::{Item, Order, Source};
use super::payloads::{self, Refund};
use super::payment::{self, Notify};
use super::push_delivery;
use super::state::Env;
use crate::control::Strict;
use crate::pay::{ALPHANUMERIC, ControlError, DIGITS, OptionalBody, random_text};
use crate::players::is_openid;

pub(crate) fn routes(vpay: &Arc<Vpay>) -> Router {
    Router::new()
        .route("/orders", get(list))
        .route("/orders/{out_trade_no}", get(order))
        .route("/orders/{out_trade_no}/pay", post(pay))
        .route("/orders/{out_trade_no}/close", post(close))
        .route("/refunds", post(refund))
        .route("/store-orders", post(buy_in_store))
        .with_state(Arc::clone(vpay))
}

async fn list(State(vpay): Platform) -> Json<Value> {
    let state = vpay.world.state();
    let orders: Vec<_> = state.vpay.orders.iter().collect();
    Json(json!({"orders": orders}))
}

async fn order(
    State(vpay): Platform,
    Path(number): Path<String>,
) -> Result<Json<Order>, ControlError> {
    let state = vpay.world.state();
    let mut orders = Env::ALL
        .into_iter()
        .filter_map(|env| state.vpay.orders.get(env, &number));
    let order = orders.next().cloned();
    order.map(Json).ok_or_else(unknown)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PayRequest {
    env: Option<Env>,
    #[serde(default)]
    apple: bool,
    #[serde(default)]
    notify: Notify,
}

/// Pays a begun order although its sheet is gone, as a phone does for a game on Windows.
async fn pay(
    State(vpay): Platform,
    Path(number): Path<String>,
    OptionalBody(request): OptionalBody<PayRequest>,
) -> Result<Json<Order>, ControlError> {
    let env = request.env.unwrap_or(Env::Production);
    if vpay.world.state().vpay.orders.get(env, &number).is_none() {
        return Err(unknown());
    }
    if !payment::pay(&vpay, env, &number, request.apple, request.notify).await {
        return Err(ControlError::conflict("the order is already paid"));
    }
    order(State(vpay), Path(number)).await
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CloseRequest {
    env: Option<Env>,
}

async fn close(
    State(vpay): Platform,
    Path(number): Path<String>,
    OptionalBody(request): OptionalBody<CloseRequest>,
) -> Result<Json<Order>, ControlError> {
    let env = request.env.unwrap_or(Env::Production);
    let mut state = vpay.world.state();
    let order = state
        .vpay
        .orders
        .get_mut(env, &number)
        .ok_or_else(unknown)?;
    order.is_closed = true;
    Ok(Json(order.clone()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RefundRequest {
    out_trade_no: String,
    /// The refunded amount in fen; by default what is left.
    amount: Option<i64>,
    env: Option<Env>,
    /// 1 platform, 2 console, 3 API.
    source: Option<i64>,
    /// Leaves `OutTradeNo` out of the push, as the documentation's sample does.
    #[serde(default)]
    unnamed: bool,
    /// A refund number of one's own, to repeat a refund; by default a new one.
    refund_id: Option<String>,
}

/// Refunds an order and reports it. An order that this simulator does not know is reported as well: a refund
/// may be pushed before its payment is known.
async fn refund(
    State(vpay): Platform,
    Strict(request): Strict<RefundRequest>,
) -> Result<Json<Value>, ControlError> {
    let env = request.env.unwrap_or(Env::Production);
    let refund_id = request
        .refund_id
        .unwrap_or_else(|| format!("rf_{}", random_text::<20>(DIGITS)));
    let (push, now) = {
        let mut state = vpay.world.state();
        let now = vpay.world.clock.time(state.now());
        let order = state.vpay.orders.get_mut(env, &request.out_trade_no);
        let (left, wechat_pay) = match &order {
            None => (request.amount, None),
            Some(order) if order.paid.is_none() => {
                return Err(ControlError::conflict("the order is not paid"));
            }
            Some(order) => {
                let paid = order.paid.as_ref();
                let wechat_pay = paid.and_then(|paid| paid.wechat_pay.clone());
                (Some(order.total() - order.refunded), wechat_pay)
            }
        };
        let amount = request.amount.or(left).unwrap_or_default();
        if amount < 1 || left.is_some_and(|left| amount > left) {
            return Err(ControlError::conflict("the amount is more than is left"));
        }
        if let Some(order) = order {
            order.refunded += amount;
        }
        let refund = Refund {
            id: &refund_id,
            env,
            amount,
            source: request.source.unwrap_or(2),
            out_trade_no: (!request.unnamed).then_some(request.out_trade_no.as_str()),
            wechat_pay: wechat_pay.as_ref(),
        };
        (payloads::refund(&refund), now)
    };
    let push = push_delivery::send(&vpay, push, now);
    Ok(Json(json!({"refundId": refund_id, "push": push})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StoreRequest {
    openid: String,
    product_id: String,
    quantity: Option<u32>,
    env: Option<Env>,
    zone: Option<String>,
    /// Whether it is the console's test of the store.
    #[serde(default)]
    test: bool,
    #[serde(default)]
    notify: Notify,
}

/// Buys items in the store outside the game, where WeChat chooses the order number.
async fn buy_in_store(
    State(vpay): Platform,
    Strict(request): Strict<StoreRequest>,
) -> Result<Json<Order>, ControlError> {
    if !is_openid(&request.openid) {
        return Err(ControlError::bad_request("not a valid openid"));
    }
    let env = request.env.unwrap_or(Env::Production);
    let number = format!("_h5_{}", random_text::<24>(ALPHANUMERIC));
    {
        let mut state = vpay.world.state();
        let begun_at = vpay.world.clock.time(state.now());
        let products = &state.vpay.catalogue.of(env).products;
        let price = products.get(&request.product_id).copied();
        let price = price.ok_or_else(|| ControlError::not_found("product not published"))?;
        state.vpay.orders.insert(Order {
            out_trade_no: number.clone(),
            openid: request.openid,
            env,
            zone: request.zone.unwrap_or_else(|| "1".to_owned()),
            item: Item::Product(request.product_id),
            quantity: request.quantity.unwrap_or(1).into(),
            price,
            attach: None,
            source: match request.test {
                true => Source::StoreTest,
                false => Source::Store,
            },
            begun_at,
            sign_data: String::new(),
            is_closed: false,
            paid: None,
            is_delivered: false,
            refunded: 0,
        });
    }
    payment::pay(&vpay, env, &number, false, request.notify).await;
    order(State(vpay), Path(number)).await
}

fn unknown() -> ControlError {
    ControlError::not_found("order not found")
}
