//! `POST /wxa/set_user_storage` and `POST /wxa/remove_user_storage`: a player's cloud storage, signed with the
//! player's session key.

use serde_json::{Value, json};

use super::ingress::{Api, Call, Verb};
use super::sessions::verify_signature;
use super::storage_limits::{check_all, check_pair};
use crate::state::{State, World};
use crate::wire::errcode;

pub(crate) const SET: Api = Api {
    name: "set_user_storage",
    path: "/wxa/set_user_storage",
    method: Verb::Post,
    requires_token: true,
    run: set,
};

pub(crate) const REMOVE: Api = Api {
    name: "remove_user_storage",
    path: "/wxa/remove_user_storage",
    method: Verb::Post,
    requires_token: true,
    run: remove,
};

fn set(_: &World, state: &mut State, call: &Call<'_>) -> Result<Value, i64> {
    let openid = verify_signature(state, call)?.to_owned();
    let list = call
        .body
        .list("kv_list")?
        .ok_or(errcode::INVALID_ARGUMENTS)?;
    let mut pairs = state
        .platform
        .storage
        .get(&openid)
        .cloned()
        .unwrap_or_default();
    for pair in list {
        // Values are texts, whatever the newest table says.
        let text = |name: &str| pair[name].as_str().ok_or(errcode::INVALID_ARGUMENTS);
        let (key, value) = (text("key")?, text("value")?);
        check_pair(key, value)?;
        pairs.insert(key.to_owned(), value.to_owned());
    }
    check_all(&pairs)?;
    state.platform.storage.insert(openid, pairs);
    Ok(json!({"errcode": 0, "errmsg": "ok"}))
}

fn remove(_: &World, state: &mut State, call: &Call<'_>) -> Result<Value, i64> {
    let openid = verify_signature(state, call)?;
    let keys = call.body.list("key")?.ok_or(errcode::INVALID_ARGUMENTS)?;
    if let Some(pairs) = state.platform.storage.get_mut(openid) {
        // A missing key is accepted.
        for key in keys.iter().filter_map(Value::as_str) {
            pairs.remove(key);
        }
    }
    Ok(json!({"errcode": 0, "errmsg": "ok"}))
}
