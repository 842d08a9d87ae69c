//! `POST /v3/pay/transactions/out-trade-no/{…}/close`: closes an order to payment.

use std::sync::Arc;

use axum::Router;
use axum::http::Method;

use super::answer::PayError;
use super::fields::{self, Fields};
use super::ingress::{Api, Call, Success, route};
use super::orders::TradeState;
use super::{Pay, api};

pub(crate) fn routes(pay: &Arc<Pay>) -> Router {
    route(
        pay,
        Api {
            name: api::CLOSE,
            path: "/v3/pay/transactions/out-trade-no/{out_trade_no}/close",
            method: Method::POST,
            is_transaction: true,
            run: close,
        },
    )
}

fn close(pay: &Arc<Pay>, call: &Call<'_>) -> Result<Success, PayError> {
    call.query(&[])?;
    let request = fields::parse(call.body)?;
    Fields::of(&request, &["mchid"])?.check_mch_id(pay)?;
    let number = call.out_trade_no()?;
    let mut state = pay.world.state();
    let state = &mut state.pay;
    match state.orders.get_mut(number) {
        Some(order) => match order.state(call.now) {
            TradeState::Success | TradeState::Refund => Err(state.behaviour.order_paid()),
            TradeState::NotPay | TradeState::Closed => {
                order.is_closed = true;
                Ok(Success::Nothing)
            }
        },
        None => {
            // Observed: closing an unknown number succeeds and blocks the number.
            state.orders.block(number);
            Ok(Success::Nothing)
        }
    }
}
