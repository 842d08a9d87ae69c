//! `GET /v3/pay/transactions/out-trade-no/{…}` and `…/id/{…}`: an order as the platform sees it.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::PayError;
use super::door::{Api, Call, Success, route};
use super::notification::transaction;
use super::orders::Order;
use super::{Pay, api};

pub(crate) fn routes(pay: &Arc<Pay>) -> Router {
    let by_number = Api {
        name: api::QUERY,
        path: "/v3/pay/transactions/out-trade-no/{out_trade_no}",
        method: Method::GET,
        is_transaction: true,
        run: |pay, call| {
            call.query_is_of(pay)?;
            let state = pay.world.state();
            answer(pay, state.pay.orders.get(call.of), call)
        },
    };
    let by_transaction = Api {
        path: "/v3/pay/transactions/id/{transaction_id}",
        run: |pay, call| {
            call.query_is_of(pay)?;
            let state = pay.world.state();
            answer(pay, state.pay.orders.of_transaction(call.of), call)
        },
        ..by_number.clone()
    };
    route(pay, by_number).merge(route(pay, by_transaction))
}

fn answer(pay: &Pay, order: Option<&Order>, call: &Call<'_>) -> Result<Success, PayError> {
    order
        .map(|order| Success::Json(shown(pay, order, call.now)))
        .ok_or_else(|| {
            PayError::new(StatusCode::NOT_FOUND, "ORDER_NOT_EXIST", "订单不存在")
                .numbered(268_512_771)
        })
}

/// The order of a query: an unpaid one tells less than a paid one.
fn shown(pay: &Pay, order: &Order, now: Timestamp) -> Value {
    let mut shown = match &order.payment {
        Some(payment) => transaction(pay, order, payment, now),
        None => {
            let state = order.state(now);
            json!({
                "appid": pay.world.settings.app_id,
                "mchid": pay.mch_id,
                "out_trade_no": order.out_trade_no,
                "trade_state": state.word(),
                "trade_state_desc": state.description(),
                "amount": {"payer_currency": "CNY", "total": order.total},
            })
        }
    };
    if shown.get("promotion_detail").is_none() {
        shown["promotion_detail"] = json!([]);
    }
    shown["scene_info"] = json!({"device_id": order.device_id});
    shown
}
