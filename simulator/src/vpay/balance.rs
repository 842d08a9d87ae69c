//! `POST /wxa/game/getbalance`.

use serde_json::Value;

use super::ingress::{Call, Refusal, Request};
use super::state::VpayState;

pub(crate) const CALL: Call = Call {
    name: "vpay_balance",
    path: "/wxa/game/getbalance",
    run,
};

/// The zone under which the coins of the recharge centre are stored; no zone has this name.
const RECHARGE_CENTRE: &str = "recharge centre";

fn run(state: &mut VpayState, request: &Request<'_>) -> Result<Value, Refusal> {
    request.body.user_ip()?;
    let zone = match request.body.optional_int("coin_type")?.unwrap_or(0) {
        0 => request.zone,
        1 if request.zone == "1" => RECHARGE_CENTRE,
        1 => return Err(Refusal::parameter("zone_id", "is invalid")),
        _ => return Err(Refusal::parameter("coin_type", "is invalid")),
    };
    let ledger = state.ledgers.of(request.openid, request.env, zone);
    Ok(ledger.answer())
}
