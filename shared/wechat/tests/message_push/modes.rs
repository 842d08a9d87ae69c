//! Compatible mode, and the choice of the message that counts.

use avalon_wechat::message_push::{PushError, PushMode, PushReceiver};
use serde_json::{Value, json};

use crate::vectors::{case, credential, key, query, secure, settings, text, time};

/// In compatible mode a body has the plain fields beside the encrypted message.
#[test]
fn compatible_mode_reads_only_the_encrypted_message() {
    let case = case("secure", "gift pack, JSON");
    let mut body: Value = serde_json::from_str(text(&case["body"])).unwrap();
    for (name, value) in [
        ("FromUserName", json!("oForged")),
        ("MsgType", json!("event")),
        ("Event", json!("user_authorization_cancellation")),
        ("OpenID", json!("oForged")),
    ] {
        body[name] = value;
    }
    let body = body.to_string();
    let push = secure()
        .open(&query(case), body.as_bytes(), time(case))
        .unwrap();
    assert_eq!(push.mode, PushMode::Secure);
    assert_eq!(push.message, text(&case["message"]));
    assert_eq!(
        push.envelope.event.as_deref(),
        Some("minigame_deliver_goods")
    );
    assert_eq!(
        push.envelope.from_user_name.as_deref(),
        Some("oTest_virtualpay_player_0001")
    );
}

/// `encrypt_type` is not signed, so removing it changes nothing.
#[test]
fn encrypted_body_counts_as_encrypted_without_encrypt_type() {
    let case = case("secure", "gift pack, JSON");
    let mut query = query(case);
    query.encrypt_type = None;
    let body = text(&case["body"]).as_bytes();
    assert!(secure().open(&query, body, time(case)).is_ok());
    query.msg_signature = None;
    let refused = secure().open(&query, body, time(case)).unwrap_err();
    assert_eq!(refused, PushError::Missing("msg_signature"));
}

#[test]
fn encrypted_message_without_a_key_is_unreadable() {
    let case = case("secure", "gift pack, JSON");
    let mut settings = settings(key("app_id"), vec![credential("a", key("token"), None)]);
    settings.allow_plain = true;
    let body = text(&case["body"]).as_bytes();
    let receiver = PushReceiver::new(settings);
    let error = receiver.open(&query(case), body, time(case)).unwrap_err();
    assert_eq!(error, PushError::NoKey);
}

/// The console changes token and key separately.
#[test]
fn credentials_with_one_token_are_tried_in_turn() {
    let case = case("secure", "gift pack, JSON");
    let body = text(&case["body"]).as_bytes();
    let old = credential("old", key("token"), Some(key("previous_encoding_aes_key")));
    let plain = credential("plain", key("token"), None);
    let new = credential("new", key("token"), Some(key("encoding_aes_key")));
    let receiver = PushReceiver::new(settings(key("app_id"), vec![old, plain, new]));
    let push = receiver.open(&query(case), body, time(case)).unwrap();
    assert_eq!(push.credential, "new");
}
