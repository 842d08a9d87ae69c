//! The test vectors: invented keys and data for tests only.

use std::sync::LazyLock;

use avalon_wechat::AppId;
use avalon_wechat::message_push::{
    EncodingAesKey, Push, PushCredential, PushCredentials, PushError, PushQuery, PushReceiver,
    PushSettings, PushToken,
};
use avalon_wechat::virtual_payment::{AppKey, AppKeys, RotatingAppKey};
use jiff::Timestamp;
use serde_json::Value;

pub(crate) static PUSHES: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../vectors/message-push.json")).unwrap());
pub(crate) static PAYMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../vectors/virtual-payment.json")).unwrap()
});

pub(crate) fn cases(name: &str) -> &'static [Value] {
    PUSHES[name].as_array().expect(name)
}

/// Returns the vector with this name.
pub(crate) fn case(list: &str, name: &str) -> &'static Value {
    let found = cases(list).iter().find(|case| case["name"] == name);
    found.unwrap_or_else(|| panic!("{list}: {name}"))
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

pub(crate) fn key(name: &str) -> &'static str {
    text(&PUSHES["keys"][name])
}

pub(crate) fn query(case: &Value) -> PushQuery {
    serde_json::from_value(case["query"].clone()).unwrap()
}

/// The time at which a vector was sent.
pub(crate) fn time(case: &Value) -> Timestamp {
    let seconds = text(&case["query"]["timestamp"]).parse().unwrap();
    Timestamp::from_second(seconds).unwrap()
}

pub(crate) fn credential(name: &str, token: &str, key: Option<&str>) -> PushCredential {
    PushCredential {
        name: name.to_owned(),
        token: PushToken::new(token.into()),
        key: key.map(|key| EncodingAesKey::parse(key).unwrap()),
    }
}

pub(crate) fn settings(app_id: &str, credentials: Vec<PushCredential>) -> PushSettings {
    PushSettings {
        app_id: AppId::new(app_id),
        credentials: PushCredentials::new(credentials).unwrap(),
        allow_plain: false,
        max_skew: None,
    }
}

/// A receiver with the current credential and the one before it.
pub(crate) fn secure() -> PushReceiver {
    let current = credential("current", key("token"), Some(key("encoding_aes_key")));
    let previous = credential(
        "previous",
        key("previous_token"),
        Some(key("previous_encoding_aes_key")),
    );
    PushReceiver::new(settings(key("app_id"), vec![current, previous]))
}

/// A receiver in plain mode.
pub(crate) fn plain() -> PushReceiver {
    let current = credential("current", key("token"), None);
    let mut settings = settings(key("app_id"), vec![current]);
    settings.allow_plain = true;
    PushReceiver::new(settings)
}

/// Opens a vector at the time at which it was sent.
pub(crate) fn open(receiver: &PushReceiver, case: &Value) -> Result<Push, PushError> {
    receiver.open(&query(case), text(&case["body"]).as_bytes(), time(case))
}

/// Opens a plain message under a query that was made for it.
pub(crate) fn open_plain(body: &str) -> Result<Push, PushError> {
    let case = case("plain", "gift pack, JSON");
    plain().open(&query(case), body.as_bytes(), time(case))
}

pub(crate) fn app_key(env: u8) -> AppKey {
    AppKey::new(text(&PAYMENT["keys"]["app_key"][env.to_string()]).into())
}

pub(crate) fn app_keys() -> AppKeys {
    let rotating = |env| RotatingAppKey {
        current: app_key(env),
        previous: None,
    };
    AppKeys {
        production: Some(rotating(0)),
        sandbox: Some(rotating(1)),
    }
}
