//! The test vectors: invented keys and data for tests only.

use std::sync::LazyLock;

use serde_json::Value;

use super::client::{Caller, Common};
use super::{AppKey, Env, OfferId, ZoneId};
use crate::{OpenId, SessionKey};

static VECTORS: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../tests/vectors/virtual-payment.json")).unwrap()
});

pub(super) fn cases(name: &str) -> &'static [Value] {
    VECTORS[name].as_array().unwrap()
}

pub(super) fn text(value: &'static Value) -> &'static str {
    value.as_str().unwrap()
}

pub(super) fn key(name: &str) -> &'static str {
    text(&VECTORS["keys"][name])
}

pub(super) fn app_key(env: i64) -> AppKey {
    AppKey::new(text(&VECTORS["keys"]["app_key"][env.to_string()]).into())
}

pub(super) fn session_key() -> SessionKey {
    SessionKey::new(key("session_key").into())
}

/// Returns the codes that a negative case may be answered with.
pub(super) fn expected(case: &Value) -> Vec<i64> {
    match &case["expect"] {
        Value::Array(codes) => codes.iter().filter_map(Value::as_i64).collect(),
        code => code.as_i64().into_iter().collect(),
    }
}

/// Returns the server call with this name.
pub(super) fn server_call(name: &str) -> &'static Value {
    let mut calls = cases("server_calls").iter();
    calls.find(|case| case["name"] == name).unwrap()
}

/// The player of the vectors, at the time of its calls.
pub(super) struct Player {
    open_id: OpenId,
    session_key: SessionKey,
    offer_id: OfferId,
    zone: ZoneId,
    env: Env,
    ts: i64,
}

impl Player {
    pub(super) fn in_env(env: Env) -> Self {
        Self {
            open_id: OpenId::new(key("openid")),
            session_key: session_key(),
            offer_id: OfferId::new(key("offer_id")),
            zone: ZoneId::new(key("zone_id")),
            env,
            ts: 1_790_000_000,
        }
    }

    pub(super) fn at(self, ts: i64) -> Self {
        Self { ts, ..self }
    }

    pub(super) fn common(&self) -> Common<'_> {
        Common {
            open_id: &self.open_id,
            offer_id: &self.offer_id,
            ts: self.ts,
            zone: &self.zone,
            env: self.env,
        }
    }

    pub(super) fn caller(&self) -> Caller<'_> {
        Caller {
            open_id: &self.open_id,
            session_key: Some(&self.session_key),
            env: self.env,
            ip: "203.0.113.7".parse().unwrap(),
        }
    }
}
