//! Every negative vector is refused for its own reason.

use std::time::Duration;

use avalon_wechat::message_push::{DecryptError, PushError, PushReceiver, PushVerdict, Unreadable};
use jiff::SignedDuration;

use crate::vectors::{
    case, cases, credential, key, open, plain, query, secure, settings, text, time,
};

/// The reason for which each negative vector is refused.
fn reason(name: &str) -> Option<PushError> {
    Some(match name {
        "msg_signature wrong though signature is right" | "msg_signature of another token" => {
            PushError::MsgSignature
        }
        "made for another app, rightly signed" | "length 0: the rest is no app id" => {
            DecryptError::OtherApp.into()
        }
        "padding byte 0"
        | "padding byte 33"
        | "padding byte 255"
        | "encrypted with a key that is no longer configured" => DecryptError::Padding.into(),
        "length beyond the end" => DecryptError::Length.into(),
        "message is not UTF-8" => DecryptError::NotUtf8.into(),
        "message is not JSON" => PushError::Message(Unreadable::NotJson),
        "ciphertext is not whole blocks" | "ciphertext empty" => DecryptError::Blocks.into(),
        "ciphertext is not base64" => DecryptError::Base64.into(),
        "plain body while secure mode is configured" => PushError::Plain,
        _ => return None,
    })
}

/// A receiver without the previous key.
fn current_only() -> PushReceiver {
    let current = credential("current", key("token"), Some(key("encoding_aes_key")));
    PushReceiver::new(settings(key("app_id"), vec![current]))
}

#[test]
fn negative_vectors_are_refused_for_their_own_reason() {
    let mut seen = 0;
    for case in cases("negatives") {
        let name = text(&case["name"]);
        let Some(reason) = reason(name) else { continue };
        let error = open(&current_only(), case).expect_err(name);
        assert_eq!(error, reason, "{name}");
        let verdict = match text(&case["expect"]) {
            "refused" => PushVerdict::Refused,
            "other_app" => PushVerdict::OtherApp,
            "unreadable" => PushVerdict::Unreadable,
            other => panic!("{name}: {other}"),
        };
        assert_eq!(error.verdict(), verdict, "{name}");
        seen += 1;
    }
    // The other two depend on settings, and have tests of their own.
    assert_eq!((seen, cases("negatives").len()), (15, 17));
}

#[test]
fn plain_body_is_refused_where_a_key_is_configured() {
    let case = case("negatives", "plain body while secure mode is configured");
    // Also where plain mode is allowed: the token's URL encrypts.
    let current = credential("current", key("token"), Some(key("encoding_aes_key")));
    let mut allowed = settings(key("app_id"), vec![current]);
    allowed.allow_plain = true;
    let receiver = PushReceiver::new(allowed);
    assert_eq!(open(&receiver, case).unwrap_err(), PushError::Plain);
}

#[test]
fn plain_mode_is_refused_unless_allowed() {
    let case = case("plain", "gift pack, JSON");
    let credential = credential("a", key("token"), None);
    let receiver = PushReceiver::new(settings(key("app_id"), vec![credential]));
    assert_eq!(open(&receiver, case).unwrap_err(), PushError::Plain);
    assert!(open(&plain(), case).is_ok());
}

#[test]
fn changed_plain_body_is_accepted_with_the_same_query_key() {
    let original = open(&plain(), case("plain", "gift pack, JSON")).unwrap();
    let changed = case("negatives", "plain mode: body changed, query replayed");
    let changed = open(&plain(), changed).unwrap();
    assert_ne!(changed.message, original.message);
    assert_eq!(changed.query_key(), original.query_key());
}

#[test]
fn timestamp_outside_the_window_is_refused() {
    let case = case("negatives", "timestamp far in the past");
    assert!(open(&plain(), case).is_ok());
    let mut limited = settings(key("app_id"), vec![credential("a", key("token"), None)]);
    limited.allow_plain = true;
    limited.max_skew = Some(Duration::from_secs(600));
    let receiver = PushReceiver::new(limited);
    let at = |seconds| {
        let now = time(case) + SignedDuration::from_secs(seconds);
        let opened = receiver.open(&query(case), text(&case["body"]).as_bytes(), now);
        opened.map(|_| ())
    };
    for inside in [0, 600, -600] {
        assert_eq!(at(inside), Ok(()), "{inside}");
    }
    for outside in [601, -601, 100_000_000] {
        assert_eq!(at(outside), Err(PushError::Stale(outside.unsigned_abs())));
    }
}

#[test]
fn missing_and_malformed_parameters_are_named() {
    let case = case("secure", "gift pack, JSON");
    let body = text(&case["body"]);
    let refused = |change: fn(&mut avalon_wechat::message_push::PushQuery)| {
        let mut query = query(case);
        change(&mut query);
        secure()
            .open(&query, body.as_bytes(), time(case))
            .unwrap_err()
    };
    assert_eq!(
        refused(|query| query.timestamp = None),
        PushError::Missing("timestamp")
    );
    assert_eq!(
        refused(|query| query.nonce = None),
        PushError::Missing("nonce")
    );
    assert_eq!(
        refused(|query| query.msg_signature = None),
        PushError::Missing("msg_signature")
    );
    assert_eq!(
        refused(|query| query.msg_signature = Some(String::new())),
        PushError::Missing("msg_signature")
    );
    assert_eq!(
        refused(|query| query.nonce = Some("1".into())),
        PushError::MsgSignature
    );
}

#[test]
fn encrypted_without_a_ciphertext_is_refused() {
    let case = case("secure", "gift pack, JSON");
    for body in [
        r#"{"ToUserName":"gh_31b2a1c7e78a"}"#,
        r#"{"Encrypt":1}"#,
        "<xml><Encrypt>a</Encrypt><Encrypt>b</Encrypt></xml>",
    ] {
        let error = secure().open(&query(case), body.as_bytes(), time(case));
        let reason = PushError::Body(Unreadable::NoEncrypt);
        assert_eq!(error.unwrap_err(), reason, "{body}");
    }
}

#[test]
fn unreadable_bodies_are_refused_before_any_signature() {
    let case = case("secure", "gift pack, JSON");
    for (body, reason) in [
        (&b"\xff"[..], Unreadable::NotUtf8),
        (b"", Unreadable::NotJson),
        (b"[]", Unreadable::NotObject),
        (b"<xml>", Unreadable::NotXml),
        (b"<!DOCTYPE a><xml><A/></xml>", Unreadable::Doctype),
    ] {
        let error = secure().open(&query(case), body, time(case)).unwrap_err();
        assert_eq!(error, PushError::Body(reason));
        assert_eq!(error.verdict(), PushVerdict::Refused);
    }
}
