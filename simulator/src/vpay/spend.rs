//! `POST /wxa/game/pay`: spends coins.

use serde_json::{Value, json};

use super::ingress::{Call, Refusal, Request};
use super::state::VpayState;
use crate::wire::errcode;

pub(crate) const CALL: Call = Call {
    name: "vpay_spend",
    path: "/wxa/game/pay",
    run,
};

fn run(state: &mut VpayState, request: &Request<'_>) -> Result<Value, Refusal> {
    let body = request.body;
    body.user_ip()?;
    let amount = body.amount()?;
    let bill_no = body.bill_no("bill_no")?;
    body.optional_text("payitem")?;
    body.optional_text("remark")?;
    state.bills.check(request, bill_no)?;
    let ledger = state.ledgers.of(request.openid, request.env, request.zone);
    let parts = ledger
        .spend(amount, state.behaviour.granted_first)
        .ok_or(Refusal::new(
            errcode::VPAY_INSUFFICIENT,
            "balance is insufficient",
        ))?;
    let balance = ledger.balance();
    state.bills.apply(request, bill_no, amount, Some(parts));
    Ok(json!({
        "errcode": 0,
        "errmsg": "ok",
        "bill_no": bill_no,
        "balance": balance,
        "used_present_amount": parts.granted,
    }))
}
