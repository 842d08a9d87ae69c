//! `POST /v3/pay/transactions/out-trade-no/{…}/close`: no payment any more.

use std::sync::Arc;

use axum::Router;
use axum::http::Method;

use super::answer::PayError;
use super::door::{Api, Call, Success, route};
use super::fields::{self, Fields};
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
    Fields::of(&request, &["mchid"])?.is_of(pay)?;
    let mut state = pay.world.state();
    let state = &mut state.pay;
    match state.orders.get_mut(call.of) {
        Some(order) => match order.state(call.now) {
            TradeState::Success | TradeState::Refund => Err(state.behaviour.order_paid()),
            TradeState::NotPay | TradeState::Closed => {
                order.is_closed = true;
                Ok(Success::Nothing)
            }
        },
        None => {
            // Seen: closing a number that was never ordered succeeds, and the number is lost.
            state.orders.burn(call.of);
            Ok(Success::Nothing)
        }
    }
}
