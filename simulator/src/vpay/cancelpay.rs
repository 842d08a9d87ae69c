//! `POST /wxa/game/cancelpay`: gives coins of a spend back.

use serde_json::{Value, json};

use super::ingress::{Call, Refusal, Request};
use super::state::VpayState;

pub(crate) const CALL: Call = Call {
    name: "vpay_cancel_spend",
    path: "/wxa/game/cancelpay",
    run,
};

fn run(state: &mut VpayState, request: &Request<'_>) -> Result<Value, Refusal> {
    let body = request.body;
    body.user_ip()?;
    let amount = body.amount()?;
    let bill_no = body.bill_no("bill_no")?;
    let spend = body.bill_no("pay_bill_no")?;
    state.bills.check(request, bill_no)?;
    let parts = state.bills.take(request, spend, amount)?;
    let ledger = state.ledgers.of(request.openid, request.env, request.zone);
    ledger.give_back(parts, state.behaviour.cancel_lowers_cost);
    state.bills.apply(request, bill_no, amount, None);
    Ok(json!({"errcode": 0, "errmsg": "ok", "bill_no": bill_no}))
}
