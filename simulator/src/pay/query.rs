//! `GET /v3/pay/transactions/out-trade-no/{…}` and `…/id/{…}`: queries an order.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::PayError;
use super::ingress::{Api, Call, Success, route};
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
            call.check_query_mch_id(pay)?;
            let number = call.out_trade_no()?;
            let state = pay.world.state();
            answer(pay, state.pay.orders.get(number), call)
        },
    };
    let by_transaction = Api {
        path: "/v3/pay/transactions/id/{transaction_id}",
        run: |pay, call| {
            call.check_query_mch_id(pay)?;
            let state = pay.world.state();
            answer(
                pay,
                state.pay.orders.find_by_transaction(call.path_param),
                call,
            )
        },
        ..by_number.clone()
    };
    route(pay, by_number).merge(route(pay, by_transaction))
}

fn answer(pay: &Pay, order: Option<&Order>, call: &Call<'_>) -> Result<Success, PayError> {
    order
        .map(|order| Success::Json(view(pay, order, call.now)))
        .ok_or_else(|| {
            PayError::new(StatusCode::NOT_FOUND, "ORDER_NOT_EXIST", "订单不存在")
                .with_number(268_512_771)
        })
}

/// Returns the order as queries represent it; an unpaid one has fewer fields.
fn view(pay: &Pay, order: &Order, now: Timestamp) -> Value {
    let mut view = match &order.payment {
        Some(payment) => transaction(pay, order, payment, now),
        None => {
            let state = order.state(now);
            json!({
                "appid": pay.world.settings.app_id,
                "mchid": pay.mch_id,
                "out_trade_no": order.out_trade_no,
                "trade_state": state.as_str(),
                "trade_state_desc": state.description(),
                "amount": {"payer_currency": "CNY", "total": order.total},
            })
        }
    };
    if view.get("promotion_detail").is_none() {
        view["promotion_detail"] = json!([]);
    }
    view["scene_info"] = json!({"device_id": order.device_id});
    view
}
