//! The keys by which repeated deliveries are recognised.

use avalon_wechat::virtual_payment::AppKeys;
use serde_json::{Value, json};

use crate::vectors::{PAYMENT, app_keys, case, open, open_plain, plain, secure, text};

fn key(list: &str, name: &str) -> String {
    let push = open(&plain(), case(list, name)).unwrap();
    push.duplicate_key(&app_keys()).to_string()
}

fn payment(name: &str) -> &'static Value {
    let pushes = PAYMENT["pushes"].as_array().unwrap();
    pushes.iter().find(|case| case["name"] == name).unwrap()
}

fn payment_key(case: &Value, keys: &AppKeys) -> String {
    open(&plain(), case)
        .unwrap()
        .duplicate_key(keys)
        .to_string()
}

#[test]
fn events_have_keys_of_their_own() {
    assert_eq!(key("plain", "gift pack, JSON"), "gift:r_20261129_0001");
    let preview = "gift pack for a test (IsPreview 1), XML: one GoodsList element is one item";
    assert_eq!(key("plain", preview), "gift_preview:r_20261129_0002");
    assert_eq!(key("plain", "message sent"), "sent:1700827132819554304");
    for (name, expected) in [
        (
            "goods bought in the game",
            "delivery:0:01M9ZZ2Q4J7X6P1TV0SWBZ93CD",
        ),
        ("goods, sandbox", "delivery:1:01M9ZZ2Q4J7X6P1TV0SWBZ94CE"),
        ("coins credited", "coins:0:01M9ZZ2Q4J7X6P1TV0SWBZ95CF"),
        ("recharge centre", "recharge:0:01M9ZZ2Q4J7X6P1TV0SWBZ96CG"),
        ("refund of a part", "refund:0:rf_202611290000000002"),
    ] {
        assert_eq!(payment_key(payment(name), &app_keys()), expected);
    }
}

#[test]
fn formats_modes_and_key_orders_share_a_key() {
    let first = payment_key(payment("goods bought in the game"), &app_keys());
    for name in [
        "the same, IsMock absent (older samples have none): counts as false",
        "goods, payload with spaces and another key order: the bytes count",
    ] {
        assert_eq!(payment_key(payment(name), &app_keys()), first, "{name}");
    }
    let name = "goods bought in the game (virtual-payment.json, first push)";
    let encrypted = open(&secure(), case("secure", name)).unwrap();
    assert_eq!(encrypted.duplicate_key(&app_keys()).to_string(), first);
}

#[test]
fn forged_payload_does_not_take_the_key_of_the_real_one() {
    let real = payment("goods bought in the game");
    let mut forged: Value = serde_json::from_str(text(&real["body"])).unwrap();
    forged["MiniGame"]["PayEventSig"] = "0".repeat(64).into();
    let forged = open_plain(&forged.to_string()).unwrap();
    let key = forged.duplicate_key(&app_keys()).to_string();
    assert!(key.starts_with("sha256:"), "{key}");
    // Nor does it while no AppKey is configured.
    let keyless = payment_key(real, &AppKeys::default());
    assert!(keyless.starts_with("sha256:"), "{keyless}");
}

#[test]
fn test_push_gets_a_digest() {
    let name = "simulated push of the console: check, answer success, deliver nothing";
    let mock = payment_key(payment(name), &app_keys());
    assert!(mock.starts_with("sha256:"), "{mock}");
}

#[test]
fn other_messages_have_their_id_or_a_digest() {
    let of = |body: Value| {
        let push = open_plain(&body.to_string()).unwrap();
        push.duplicate_key(&app_keys()).to_string()
    };
    let text = json!({"MsgType": "text", "MsgId": 7, "Content": "a"});
    assert_eq!(of(text), "message:7");
    let event = |time: i64| json!({"MsgType": "event", "Event": "user_info_modified", "OpenID": "oA", "CreateTime": time});
    assert!(of(event(1)).starts_with("sha256:"));
    assert_eq!(of(event(1)), of(event(1)));
    assert_ne!(of(event(1)), of(event(2)));
}
