//! Explanations of refused requests: the step that fails is the one that is wrong, and no secret is shown.

use avalon_wechat::diagnosis::{Step, Verdict};
use avalon_wechat::message_push::{PushReceiver, explain_payment_event};
use serde_json::Value;

use crate::vectors::{
    PAYMENT, app_keys, case, cases, credential, key, plain, query, secure, settings, text, time,
};

/// The step that fails; nothing comes after it.
fn failed(steps: &[Step]) -> Option<&'static str> {
    let shown = format!("{steps:?}");
    for secret in ["token", "previous_token", "encoding_aes_key"] {
        assert!(!shown.contains(key(secret)), "{shown}");
    }
    for env in ["0", "1"] {
        assert!(!shown.contains(text(&PAYMENT["keys"]["app_key"][env])));
    }
    let at = steps
        .iter()
        .position(|step| step.verdict == Verdict::Failed);
    at.inspect(|at| assert_eq!(*at, steps.len() - 1, "{shown}"));
    at.map(|at| steps[at].name)
}

fn explain(receiver: &PushReceiver, case: &Value) -> Option<&'static str> {
    let body = text(&case["body"]).as_bytes();
    failed(&receiver.explain(&query(case), body, time(case), &app_keys()))
}

#[test]
fn each_refused_push_fails_at_its_own_step() {
    let current = credential("current", key("token"), Some(key("encoding_aes_key")));
    let only_current = PushReceiver::new(settings(key("app_id"), vec![current]));
    let mut seen = 0;
    for case in cases("negatives") {
        let name = text(&case["name"]);
        let expected = match name {
            "msg_signature wrong though signature is right" => Some("msg_signature"),
            "msg_signature of another token" => Some("msg_signature"),
            "made for another app, rightly signed" => Some("app id"),
            "length 0: the rest is no app id" => Some("app id"),
            "message is not JSON" => Some("message"),
            "plain body while secure mode is configured" => Some("mode"),
            "plain mode: body changed, query replayed" => None,
            "timestamp far in the past" => Some("timestamp"),
            // Paddings, lengths, encodings, other keys.
            _ => Some("decryption"),
        };
        let receiver = match name {
            "plain mode: body changed, query replayed" => plain(),
            "encrypted with a key that is no longer configured" => only_current.clone(),
            _ => secure(),
        };
        let actual = match name {
            "timestamp far in the past" => {
                let current = credential("current", key("token"), None);
                let mut settings = settings(key("app_id"), vec![current]);
                settings.allow_plain = true;
                settings.max_skew = Some(std::time::Duration::from_secs(600));
                let body = text(&case["body"]).as_bytes();
                let now = time(&cases("negatives")[0]);
                failed(&PushReceiver::new(settings).explain(&query(case), body, now, &app_keys()))
            }
            _ => explain(&receiver, case),
        };
        assert_eq!(actual, expected, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 17);
}

#[test]
fn refused_url_verifications_fail_at_their_step() {
    for case in cases("url_verification") {
        let name = text(&case["name"]);
        let expected = match (case["status"].as_u64(), name) {
            (Some(200), _) => None,
            (_, "signature missing") => Some("query"),
            _ => Some("signature"),
        };
        let steps = secure().explain_url(&query(case), time(case));
        assert_eq!(failed(&steps), expected, "{name}");
    }
}

#[test]
fn signed_texts_name_tokens_without_showing_them() {
    let case = case("negatives", "msg_signature of another token");
    let body = text(&case["body"]).as_bytes();
    let steps = secure().explain(&query(case), body, time(case), &app_keys());
    let signed = steps.last().unwrap().signed.as_deref().unwrap();
    let encrypt: Value = serde_json::from_slice(body).unwrap();
    for line in signed.lines() {
        assert!(line.contains("1790000500415670744"), "{line}");
        assert!(line.contains(text(&encrypt["Encrypt"])), "{line}");
    }
    assert!(signed.contains("<token of current>") && signed.contains("<token of previous>"));
}

#[test]
fn authentic_pushes_pass_every_step() {
    for case in cases("secure") {
        assert_eq!(explain(&secure(), case), None, "{}", case["name"]);
    }
    for case in cases("plain") {
        assert_eq!(explain(&plain(), case), None, "{}", case["name"]);
    }
}

#[test]
fn payment_events_fail_at_their_signature_or_payload() {
    let mut seen = 0;
    let negatives = PAYMENT["negatives"].as_array().unwrap();
    for case in negatives.iter().filter(|case| case["payload"].is_string()) {
        let (event, payload) = (text(&case["event"]), text(&case["payload"]));
        let signature = case["pay_event_sig"].as_str();
        let steps = explain_payment_event(event, payload, signature, &app_keys());
        let expected = match text(&case["expect"]) {
            "bad_signature" => "PayEventSig",
            "unreadable" => "payload",
            other => panic!("{other}"),
        };
        assert_eq!(failed(&steps), Some(expected), "{}", case["name"]);
        let signed = steps.iter().find_map(|step| step.signed.as_deref());
        assert_eq!(signed, Some(format!("{event}&{payload}").as_str()));
        seen += 1;
    }
    assert_eq!(seen, 7);
}
