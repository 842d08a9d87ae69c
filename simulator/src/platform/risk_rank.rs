//! `POST /wxa/getuserriskrank`: how risky a player is, which is what a test has said, else 0.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::door::{Api, Call, Verb};
use super::fields::demand_active;
use crate::state::{State, World};
use crate::wire::errcode;

pub(crate) const API: Api = Api {
    name: "risk_rank",
    path: "/wxa/getuserriskrank",
    method: Verb::Post,
    wants_token: true,
    run,
};

fn run(world: &World, state: &mut State, call: &Call<'_>) -> Result<Value, i64> {
    let body = call.body;
    if body.text("appid")? != Some(world.settings.app_id.as_str()) {
        return Err(errcode::INVALID_APPID);
    }
    let openid = body.openid()?;
    body.scene(0..=2)?;
    body.text("client_ip")?
        .and_then(|ip| ip.parse::<IpAddr>().ok())
        .ok_or(errcode::INVALID_ARGUMENTS)?;
    for name in ["mobile_no", "email_address", "extended_info"] {
        body.text(name)?;
    }
    if !body.bool("is_test")?.unwrap_or(false) {
        demand_active(&state.players, openid, call.now)?;
    }
    let rank = state.platform.ranks.get(openid).copied().unwrap_or(0);
    Ok(json!({
        "errcode": 0,
        "errmsg": "getuserriskrank succ",
        "risk_rank": rank,
        // Sic; and a number, as in WeChat's examples.
        "unoin_id": call.now.as_microsecond(),
    }))
}
