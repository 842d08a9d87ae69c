//! `POST /wxa/game/present`: grants coins.

use serde_json::{Value, json};

use super::ingress::{Call, Refusal, Request};
use super::state::VpayState;

pub(crate) const CALL: Call = Call {
    name: "vpay_present",
    path: "/wxa/game/present",
    run,
};

fn run(state: &mut VpayState, request: &Request<'_>) -> Result<Value, Refusal> {
    let body = request.body;
    body.user_ip()?;
    let amount = body.amount()?;
    let bill_no = body.bill_no("bill_no")?;
    state.bills.check(request, bill_no)?;
    let ledger = state.ledgers.of(request.openid, request.env, request.zone);
    ledger.present(amount);
    let balance = ledger.balance();
    state.bills.apply(request, bill_no, amount, None);
    Ok(json!({"errcode": 0, "errmsg": "ok", "bill_no": bill_no, "balance": balance}))
}
