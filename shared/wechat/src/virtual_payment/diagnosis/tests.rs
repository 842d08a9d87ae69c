//! Every refused call of the vectors is explained by its mistake.

use super::super::RotatingAppKey;
use super::super::vectors::{self, app_key, cases, key, session_key, text};
use super::*;
use crate::diagnosis::Verdict;

fn keys() -> AppKeys {
    let rotating = |env| RotatingAppKey {
        current: app_key(env),
        previous: None,
    };
    AppKeys {
        production: Some(rotating(0)),
        sandbox: Some(rotating(1)),
    }
}

fn call(case: &'static Value) -> SignedCall {
    let signature = case["signature"].as_str().map(str::to_owned);
    match case["signData"].as_str() {
        Some(sign_data) => SignedCall::Client {
            sign_data: sign_data.to_owned(),
            pay_sig: case["paySig"].as_str().map(str::to_owned),
            signature,
        },
        None => SignedCall::Server {
            path: text(&case["uri"]).to_owned(),
            body: text(&case["body"]).to_owned(),
            pay_sig: case["pay_sig"].as_str().map(str::to_owned),
            signature,
        },
    }
}

/// The steps that fail, with what they say.
fn failures(case: &'static Value) -> Vec<(&'static str, String)> {
    let known = KnownSessionKeys {
        current: Some(session_key()),
        previous: Some(SessionKey::new(key("previous_session_key").into())),
    };
    let steps = call(case).explain(&keys(), &known);
    let shown = format!("{steps:?}");
    for secret in [key("session_key"), key("previous_session_key")] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let app_keys = &cases_keys()["app_key"];
    for env in ["0", "1"] {
        assert!(!shown.contains(app_keys[env].as_str().unwrap()), "{shown}");
    }
    let failed = steps
        .into_iter()
        .filter(|step| step.verdict == Verdict::Failed);
    failed.map(|step| (step.name, step.detail)).collect()
}

fn cases_keys() -> Value {
    let all: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/virtual-payment.json")).unwrap();
    all["keys"].clone()
}

#[test]
fn right_calls_pass_every_step() {
    for case in cases("server_calls") {
        assert_eq!(failures(case), [], "{}", case["name"]);
    }
    let [goods, sandbox, coins, _] = cases("client_calls") else {
        panic!("four vectors");
    };
    for case in [goods, sandbox, coins] {
        assert_eq!(failures(case), [], "{}", case["name"]);
    }
}

#[test]
fn each_refused_call_names_its_mistake() {
    let mut seen = 0;
    for case in cases("negatives") {
        if case["payload"].is_string() {
            continue;
        }
        let name = text(&case["name"]);
        let (_, kind) = name.split_once(": ").unwrap();
        let failures = failures(case);
        let failed: Vec<&str> = failures.iter().map(|(step, _)| *step).collect();
        let says = |step: &str, what: &str| {
            let found = failures.iter().find(|(name, _)| *name == step);
            assert!(
                found.is_some_and(|(_, detail)| detail.contains(what)),
                "{name}: {failures:?}"
            );
        };
        match kind {
            "upper-case hex" => says("pay_sig", "in upper case"),
            "pay_sig without the uri" => says("pay_sig", "the body alone"),
            "pay_sig with the API's English name instead of the path" => {
                says("pay_sig", "the name of the API");
            }
            "pay_sig with host in the uri" => says("pay_sig", "a URI with its host"),
            "AppKey of the other environment" => says("pay_sig", "the AppKey of sandbox"),
            "session key decoded from base64 first" => says("signature", "decoded"),
            "signed with the session key before this one" => says("signature", "before this one"),
            "body serialised again with spaces after it was signed"
            | "body with \\u escapes instead of the signed UTF-8" => {
                says("pay_sig", "written anew");
                says("signature", "written anew");
            }
            "env as a string, rightly signed" => says("parameters", "env must be a number"),
            "bill_no begins with an underscore, rightly signed"
            | "bill_no of 64 characters, rightly signed" => says("parameters", "bill_no"),
            "paySig over signData alone" => says("paySig", "the body alone"),
            "signData serialised again by the client" => {
                says("paySig", "written anew");
                says("signature", "written anew");
            }
            // Only the console knows the price.
            "goodsPrice is not the price in the console, rightly signed" => {
                assert!(failed.is_empty());
            }
            other => panic!("{other}"),
        }
        let expected = vectors::expected(case);
        let wrong_pay = failed
            .iter()
            .any(|it| it.eq_ignore_ascii_case("pay_sig") || *it == "paySig");
        assert_eq!(
            wrong_pay,
            expected.contains(&90011) || expected.contains(&-15014),
            "{name}"
        );
        seen += 1;
    }
    assert_eq!(seen, 15);
}

#[test]
fn unknown_session_keys_are_not_a_failure() {
    let case = &cases("server_calls")[0];
    let steps = call(case).explain(&keys(), &KnownSessionKeys::default());
    let signature = steps.iter().find(|step| step.name == "signature").unwrap();
    assert_eq!(signature.verdict, Verdict::Unknown);
    assert_eq!(signature.signed.as_deref(), case["body"].as_str());
}

#[test]
fn rewritten_texts_lose_blanks_and_escapes_outside_of_ascii() {
    assert_eq!(
        rewritten(r#"{ "a": "b c\u65b0\n\"" , "d" : 1 }"#),
        "{\"a\":\"b c\u{65b0}\\n\\\"\",\"d\":1}"
    );
    assert_eq!(rewritten("\"\\"), "\"\\");
    assert_eq!(rewritten("\"\\u0"), "\"\\u0");
}
