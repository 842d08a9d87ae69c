//! `POST /wxa/getuserriskrank`: a player's risk rank as set by the control route, 0 by default.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::fields::require_active;
use super::ingress::{Api, Call, Verb};
use crate::state::{State, World};
use crate::wire::errcode;

pub(crate) const API: Api = Api {
    name: "risk_rank",
    path: "/wxa/getuserriskrank",
    method: Verb::Post,
    requires_token: true,
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
        require_active(&state.players, openid, call.now)?;
    }
    let rank = state.platform.ranks.get(openid).copied().unwrap_or(0);
    Ok(json!({
        "errcode": 0,
        "errmsg": "getuserriskrank succ",
        "risk_rank": rank,
        // Misspelt, and a number, as in WeChat's examples.
        "unoin_id": call.now.as_microsecond(),
    }))
}
