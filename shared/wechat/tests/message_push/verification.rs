//! URL verification, and the official vectors.

use avalon_wechat::AppId;
use avalon_wechat::message_push::{EncryptedReply, PushError, PushFormat, PushMode, PushReceiver};
use jiff::Timestamp;

use crate::vectors::{case, cases, credential, key, open, query, secure, settings, text, time};

#[test]
fn url_verification_returns_echostr_or_its_own_refusal() {
    let cases = cases("url_verification");
    assert_eq!(cases.len(), 8);
    for case in cases {
        let query = query(case);
        let answer = secure().verify_url(&query, time(case));
        let name = text(&case["name"]);
        match case["status"].as_u64() {
            Some(200) => assert_eq!(answer, Ok(text(&case["answer"])), "{name}"),
            _ if name == "signature missing" => {
                assert_eq!(answer, Err(PushError::Missing("signature")));
            }
            _ => assert_eq!(answer, Err(PushError::Signature), "{name}"),
        }
    }
}

#[test]
fn official_vectors_verify() {
    let verification = case("official", "URL verification");
    let token = text(&verification["token"]);
    let receiver = PushReceiver::new(settings("wx", vec![credential("a", token, None)]));
    let answer = text(&verification["answer"]);
    let verified = query(verification);
    assert_eq!(
        receiver.verify_url(&verified, time(verification)),
        Ok(answer)
    );

    // The query of a push verifies; only its body is not in the documentation.
    let plain = case("official", "plain push, query only");
    let opened = receiver.open(&query(plain), b"{}", time(plain));
    assert_eq!(opened.unwrap_err(), PushError::Plain);
}

#[test]
fn official_encrypted_push_opens() {
    let case = case("official", "secure push");
    let key = text(&case["encoding_aes_key"]);
    let credential = credential("a", text(&case["token"]), Some(key));
    let receiver = PushReceiver::new(settings(text(&case["app_id"]), vec![credential]));
    let body = serde_json::json!({"ToUserName": "gh_97417a04a28d", "Encrypt": case["encrypt"]});
    let push = receiver
        .open(&query(case), body.to_string().as_bytes(), time(case))
        .unwrap();
    assert_eq!(push.message, text(&case["message"]));
    assert_eq!(
        (push.mode, push.format),
        (PushMode::Secure, PushFormat::Json)
    );
}

#[test]
fn official_encrypted_reply_is_reproduced() {
    let case = case("official", "secure reply");
    let key = text(&case["encoding_aes_key"]);
    let reply = EncryptedReply::seal(
        &credential("a", text(&case["token"]), Some(key)),
        &AppId::new(text(&case["app_id"])),
        text(&case["message"]),
        text(&case["random"]).as_bytes().try_into().unwrap(),
        Timestamp::from_second(case["timestamp"].as_i64().unwrap()).unwrap(),
        text(&case["nonce"]),
    )
    .unwrap();
    let body: serde_json::Value = serde_json::from_str(&reply.body(PushFormat::Json)).unwrap();
    assert_eq!(body["Encrypt"], case["encrypt"]);
    assert_eq!(body["MsgSignature"], case["msg_signature"]);
    assert_eq!(body["TimeStamp"], case["timestamp"]);
}

#[test]
fn encrypted_reply_has_the_bytes_of_the_vector() {
    let case = &cases("secure_replies")[0];
    let current = credential("a", key("token"), Some(key("encoding_aes_key")));
    let seal = |credential| {
        EncryptedReply::seal(
            credential,
            &AppId::new(key("app_id")),
            text(&case["message"]),
            text(&case["random"]).as_bytes().try_into().unwrap(),
            Timestamp::from_second(case["timestamp"].as_i64().unwrap()).unwrap(),
            text(&case["nonce"]),
        )
    };
    let reply = seal(&current).unwrap();
    assert_eq!(reply.body(PushFormat::Json), text(&case["body"]));
    let xml = reply.body(PushFormat::Xml);
    assert!(xml.contains("<TimeStamp>1790000401</TimeStamp>"), "{xml}");
    assert_eq!(seal(&credential("a", key("token"), None)), None);
}

#[test]
fn secure_vectors_open() {
    let cases = cases("secure");
    assert_eq!(cases.len(), 9);
    for case in cases {
        let push = open(&secure(), case).unwrap_or_else(|error| panic!("{error}: {case}"));
        assert_eq!(push.message, text(&case["message"]));
        let name = text(&case["name"]);
        let credential = match name.contains("before these") {
            true => "previous",
            false => "current",
        };
        assert_eq!(push.credential, credential, "{name}");
    }
}

#[test]
fn key_with_trailing_bits_opens_the_same_messages() {
    let trailing = key("encoding_aes_key_with_trailing_bits");
    let credential = credential("a", key("token"), Some(trailing));
    let receiver = PushReceiver::new(settings(key("app_id"), vec![credential]));
    for name in [
        "key with trailing bits",
        "gift pack, JSON",
        "gift pack, XML",
    ] {
        assert!(open(&receiver, case("secure", name)).is_ok(), "{name}");
    }
}
