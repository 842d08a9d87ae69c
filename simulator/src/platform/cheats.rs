//! `GET /wxa/game/content_spam/get_cheat_data`: the observations set by the control route.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ingress::{Api, Call, Verb};
use crate::state::{State, World};
use crate::wire::errcode;

pub(crate) const API: Api = Api {
    name: "cheat_data",
    path: "/wxa/game/content_spam/get_cheat_data",
    method: Verb::Get,
    requires_token: true,
    run,
};

/// An observed player.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cheat {
    openid: String,
    /// `yyyyMMddHH`.
    ds: String,
    cheat_type: u8,
    risk_level: u8,
}

fn run(_: &World, state: &mut State, call: &Call<'_>) -> Result<Value, i64> {
    let number = |name: &str, default: Option<usize>| match call.query(name) {
        Some(text) => text.parse().map_err(|_| errcode::INVALID_ARGUMENTS),
        None => default.ok_or(errcode::INVALID_ARGUMENTS),
    };
    let begin = call.query("ds_begin").unwrap_or_default();
    let days = number("duration_days", None)?;
    let (offset, limit) = (number("offset", Some(0))?, number("limit", Some(1000))?);
    let first = jiff::civil::Date::strptime("%Y%m%d", begin);
    let first = first.map_err(|_| errcode::INVALID_ARGUMENTS)?;
    if !(1..=7).contains(&days) || limit > 1000 {
        return Err(errcode::INVALID_ARGUMENTS);
    }
    let last = first.saturating_add(jiff::ToSpan::days(i64::try_from(days).unwrap_or(7)));
    let (first, last) = (first.strftime("%Y%m%d"), last.strftime("%Y%m%d"));
    let (first, last) = (first.to_string(), last.to_string());
    let cheats = state.platform.cheats.iter();
    let found = cheats.filter(|cheat| *cheat.ds >= *first && *cheat.ds < *last);
    let rows: Vec<&Cheat> = found.skip(offset).take(limit).collect();
    Ok(json!({"errcode": 0, "errmsg": "ok", "rows": rows}))
}
