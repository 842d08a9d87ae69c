//! Pushes messages as WeChat does, in secure mode.

use avalon_wechat::AppId;
use avalon_wechat::message_push::{
    EncodingAesKey, EncryptedReply, PushCredential, PushFormat, PushToken,
};
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::app::APP_ID;

/// Token and EncodingAESKey of the console, for tests only.
const TOKEN: &str = "avalonPushToken2026";
const KEY: &str = "Qm3xT7vJk2Lw9RzY4NcHs8Pf1DgUa5EoXbV6iKt0MyA";

/// The value of `push.credentials` in a variable.
pub fn credentials() -> String {
    json!([{"name": "main", "token": TOKEN, "encoding_aes_key": KEY}]).to_string()
}

/// Begins the push of a message to an API.
pub fn push(client: &Client, api: &str, message: &Value) -> RequestBuilder {
    let credential = PushCredential {
        name: "main".to_owned(),
        token: PushToken::new(TOKEN.into()),
        key: Some(EncodingAesKey::parse(KEY).unwrap()),
    };
    let app_id = AppId::new(APP_ID);
    let (random, nonce) = (fastrand::u128(..).to_le_bytes(), fastrand::u32(..));
    // What we send to WeChat has the same form as what it sends to us.
    let sealed = EncryptedReply::seal(
        &credential,
        &app_id,
        &message.to_string(),
        random,
        Timestamp::now(),
        &nonce.to_string(),
    );
    let sealed: Value = serde_json::from_str(&sealed.unwrap().body(PushFormat::Json)).unwrap();
    client
        .post(format!("{api}/api/wx/push"))
        .query(&[
            ("timestamp", sealed["TimeStamp"].to_string().as_str()),
            ("nonce", sealed["Nonce"].as_str().unwrap()),
            ("encrypt_type", "aes"),
            ("msg_signature", sealed["MsgSignature"].as_str().unwrap()),
        ])
        .json(&json!({"ToUserName": "gh_31b2a1c7e78a", "Encrypt": sealed["Encrypt"]}))
}
