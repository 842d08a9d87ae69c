//! `GET /v3/refund/domestic/refunds/{out_refund_no}`: a refund as the platform sees it.

use std::sync::Arc;

use axum::Router;
use axum::http::Method;

use super::answer::PayError;
use super::door::{Api, Call, Success, route};
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
    let state = pay.world.state();
    match state.pay.refunds.get(call.of) {
        Some(refund) => Ok(Success::Json(refund.told())),
        None => Err(PayError::not_exists("退款单不存在")),
    }
}
