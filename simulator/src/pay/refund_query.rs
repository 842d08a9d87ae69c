//! `GET /v3/refund/domestic/refunds/{out_refund_no}`: queries a refund.

use std::sync::Arc;

use axum::Router;
use axum::http::Method;

use super::answer::PayError;
use super::fields::REFUND_PUNCTUATION;
use super::ingress::{Api, Call, Success, route};
use super::{Pay, api};

pub(crate) fn routes(pay: &Arc<Pay>) -> Router {
    route(
        pay,
        Api {
            name: api::REFUND_QUERY,
            path: "/v3/refund/domestic/refunds/{out_refund_no}",
            method: Method::GET,
            is_transaction: false,
            run: query,
        },
    )
}

fn query(pay: &Arc<Pay>, call: &Call<'_>) -> Result<Success, PayError> {
    call.query(&[])?;
    let number = call.path_number("out_refund_no", 1..=64, REFUND_PUNCTUATION)?;
    let state = pay.world.state();
    match state.pay.refunds.get(number) {
        Some(refund) => Ok(Success::Json(refund.to_json())),
        None => Err(PayError::not_exists("退款单不存在")),
    }
}
