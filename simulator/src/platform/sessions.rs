//! `GET /wxa/checksession` and `GET /wxa/resetusersessionkey`. Callers prove the session key by an
//! HMAC of the empty string, keyed with the base64 text of the session key.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use serde_json::{Value, json};

use super::ingress::{Api, Call, Verb};
use crate::state::{State, World};
use crate::wire::errcode;

pub(crate) const CHECK: Api = Api {
    name: "check_session",
    path: "/wxa/checksession",
    method: Verb::Get,
    requires_token: true,
    run: check,
};

pub(crate) const RESET: Api = Api {
    name: "reset_session_key",
    path: "/wxa/resetusersessionkey",
    method: Verb::Get,
    requires_token: true,
    run: reset,
};

fn check(_: &World, state: &mut State, call: &Call<'_>) -> Result<Value, i64> {
    verify_signature(state, call)?;
    Ok(json!({"errcode": 0, "errmsg": "ok"}))
}

fn reset(_: &World, state: &mut State, call: &Call<'_>) -> Result<Value, i64> {
    let openid = verify_signature(state, call)?;
    let player = state
        .players
        .reset_key(openid)
        .ok_or(errcode::INVALID_OPENID)?;
    Ok(json!({
        "errcode": 0,
        "errmsg": "ok",
        "openid": player.openid,
        "session_key": player.session_key,
    }))
}

/// Checks the signature of the body, which is empty for a GET, against the player's current session key; returns the
/// openid.
pub(super) fn verify_signature<'c>(state: &State, call: &'c Call<'_>) -> Result<&'c str, i64> {
    let openid = call.query("openid").ok_or(errcode::INVALID_ARGUMENTS)?;
    let signature = call.query("signature").ok_or(errcode::INVALID_ARGUMENTS)?;
    if call.query("sig_method") != Some("hmac_sha256") {
        return Err(errcode::SIG_METHOD);
    }
    let player = state.players.get(openid).ok_or(errcode::INVALID_OPENID)?;
    let key = hmac::Key::new(HMAC_SHA256, player.session_key.as_bytes());
    if hex::encode(hmac::sign(&key, call.raw)) == signature {
        Ok(openid)
    } else {
        Err(errcode::SIGNATURE)
    }
}
