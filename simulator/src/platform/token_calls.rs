//! `GET /cgi-bin/token` and `POST /cgi-bin/stable_token`: issue access tokens for the app's secret.

use serde_json::{Value, json};

use super::ingress::{Api, Call, Verb};
use super::tokens::{IssuedToken, Lifetime};
use crate::state::{State, World};
use crate::wire::errcode;

pub(crate) const TOKEN: Api = Api {
    name: "token",
    path: "/cgi-bin/token",
    method: Verb::Get,
    requires_token: false,
    run: classic,
};

pub(crate) const STABLE_TOKEN: Api = Api {
    name: "stable_token",
    path: "/cgi-bin/stable_token",
    method: Verb::Post,
    requires_token: false,
    run: stable,
};

fn classic(world: &World, state: &mut State, call: &Call<'_>) -> Result<Value, i64> {
    let names = ["grant_type", "appid", "secret"];
    check(world, names.map(|name| call.query(name)))?;
    let lifetime = Lifetime::of(state.behaviour.token_life_seconds);
    Ok(answer(state.platform.tokens.classic(call.now, lifetime)))
}

fn stable(world: &World, state: &mut State, call: &Call<'_>) -> Result<Value, i64> {
    let body = call.body;
    check(
        world,
        [
            body.text("grant_type")?,
            body.text("appid")?,
            body.text("secret")?,
        ],
    )?;
    let lifetime = Lifetime::of(state.behaviour.token_life_seconds);
    let tokens = &mut state.platform.tokens;
    let token = if body.bool("force_refresh")?.unwrap_or(false) {
        tokens.forced(call.now, lifetime)?
    } else {
        tokens.stable(call.now, lifetime)
    };
    Ok(answer(token))
}

fn check(world: &World, [grant_type, app_id, secret]: [Option<&str>; 3]) -> Result<(), i64> {
    let app_id = app_id.ok_or(errcode::APPID_MISSING)?;
    let secret = secret.ok_or(errcode::SECRET_MISSING)?;
    if grant_type != Some("client_credential") {
        return Err(errcode::INVALID_GRANT_TYPE);
    }
    if app_id != world.settings.app_id {
        return Err(errcode::INVALID_APPID);
    }
    if secret != world.settings.app_secret {
        return Err(errcode::INVALID_SECRET);
    }
    Ok(())
}

fn answer(token: IssuedToken) -> Value {
    json!({"access_token": token.token, "expires_in": token.expires_in})
}
