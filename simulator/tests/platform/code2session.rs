//! `code2Session`: its responses to codes, special codes and invalid calls.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};

use crate::harness::{APP_ID, APP_SECRET, TestSimulator, errcode, query};

#[tokio::test]
async fn success_has_realistic_ids_and_no_errcode() {
    let sim = TestSimulator::start().await;
    let session = sim.session("sim-alice").await;
    let openid = session["openid"].as_str().unwrap();
    assert!(openid.len() == 28 && openid.starts_with('o'), "{openid}");
    assert!(
        openid
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)),
        "{openid}"
    );
    let key = session["session_key"].as_str().unwrap();
    assert!(key.len() == 24 && key.ends_with("=="), "{key}");
    assert_eq!(session.get("errcode"), None);
    assert_eq!(session.get("unionid"), None);
}

#[tokio::test]
async fn each_name_is_one_player() {
    let sim = TestSimulator::start().await;
    let alice = sim.session("sim-alice").await;
    assert_eq!(sim.session("sim-alice").await, alice);
    let bob = sim.session("sim-bob").await;
    assert_ne!(bob["openid"], alice["openid"]);
    assert_ne!(bob["session_key"], alice["session_key"]);
}

#[tokio::test]
async fn minted_code_works_once() {
    let sim = TestSimulator::start().await;
    let minted = sim.mint("alice").await;
    let code = minted["code"].as_str().unwrap();
    assert_eq!(code.len(), 32);
    let session = sim.session(code).await;
    assert_eq!(session["openid"], minted["openid"]);
    assert_eq!(session["openid"], sim.session("sim-alice").await["openid"]);
    assert_eq!(sim.errcode(code).await, 40163);
}

#[tokio::test]
async fn minted_code_expires_after_five_minutes() {
    let sim = TestSimulator::start().await;
    let fresh = sim.mint("alice").await;
    let late = sim.mint("alice").await;
    assert_ne!(fresh["code"], late["code"]);
    sim.put("/settings", r#"{"clockSkewSeconds":295}"#).await;
    assert_eq!(sim.errcode(fresh["code"].as_str().unwrap()).await, 0);
    sim.put("/settings", r#"{"clockSkewSeconds":301}"#).await;
    assert_eq!(sim.errcode(late["code"].as_str().unwrap()).await, 40029);
}

#[tokio::test]
async fn once_code_works_once_per_nonce() {
    let sim = TestSimulator::start().await;
    assert_eq!(sim.errcode("sim-once-alice-1").await, 0);
    assert_eq!(sim.errcode("sim-once-alice-1").await, 40163);
    let again = sim.session("sim-once-alice-2").await;
    assert_eq!(again["openid"], sim.session("sim-alice").await["openid"]);
}

#[tokio::test]
async fn unknown_and_malformed_codes_return_40029() {
    let sim = TestSimulator::start().await;
    for code in [
        "nonsense",
        "sim-",
        "sim-slow-alice",
        "sim-once-alice",
        "sim-http-1",
    ] {
        assert_eq!(sim.errcode(code).await, 40029, "{code}");
    }
}

#[tokio::test]
async fn error_code_returns_its_errcode_with_request_id() {
    let sim = TestSimulator::start().await;
    for code in [-1, 40029, 40163, 40226, 45011] {
        let answer = sim.session(&format!("sim-error-{code}")).await;
        assert_eq!(errcode(&answer), code);
        let (_, rid) = answer["errmsg"]
            .as_str()
            .unwrap()
            .split_once(", rid: ")
            .unwrap();
        let groups: Vec<_> = rid.split('-').collect();
        assert_eq!(groups.len(), 3, "{rid}");
        for group in groups {
            assert!(
                group.len() == 8 && group.bytes().all(|b| b.is_ascii_hexdigit()),
                "{rid}"
            );
        }
    }
}

#[tokio::test]
async fn flaky_code_fails_the_given_number_of_times() {
    let sim = TestSimulator::start().await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(sim.errcode("sim-flaky-2-alice").await);
    }
    assert_eq!(answers, [-1, -1, 0, 0]);
}

#[tokio::test]
async fn slow_code_delays_the_response() {
    let sim = TestSimulator::start().await;
    let started = Instant::now();
    assert_eq!(sim.errcode("sim-slow-80-alice").await, 0);
    assert!(started.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn reset_code_is_spent_without_a_response() {
    let sim = TestSimulator::start().await;
    let error = sim.exchange("sim-reset-alice-1").await.unwrap_err();
    assert!(
        format!("{error:?}").contains("ConnectionReset"),
        "{error:?}"
    );
    assert_eq!(sim.errcode("sim-reset-alice-1").await, 40163);
}

#[tokio::test]
async fn lost_code_is_spent_and_never_answered() {
    let sim = TestSimulator::start().await;
    sim.abandon("sim-lost-alice-1").await;
    assert_eq!(sim.errcode("sim-lost-alice-1").await, 40163);
}

#[tokio::test]
async fn http_empty_and_truncated_codes_break_the_response() {
    let sim = TestSimulator::start().await;
    let bad_gateway = sim.exchange("sim-http-502").await.unwrap();
    assert_eq!(bad_gateway.status(), StatusCode::BAD_GATEWAY);

    let empty = sim.exchange("sim-empty").await.unwrap();
    assert_eq!(empty.status(), StatusCode::OK);
    assert!(
        empty.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    assert_eq!(empty.text().await.unwrap(), "");

    let truncated = sim
        .exchange("sim-truncated")
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(truncated.starts_with('{'));
    assert!(serde_json::from_str::<serde_json::Value>(&truncated).is_err());
}

#[tokio::test]
async fn checks_run_in_order() {
    let sim = TestSimulator::start().await;
    let valid = query("nonsense");
    let without = |name: &str| {
        valid
            .into_iter()
            .filter(|(n, _)| *n != name)
            .collect::<Vec<_>>()
    };
    let with = |name: &str, value: &'static str| {
        valid
            .into_iter()
            .map(|(n, v)| (n, if n == name { value } else { v }))
            .collect::<Vec<_>>()
    };
    let cases = [
        (vec![], 41002),
        (without("appid"), 41002),
        (without("secret"), 41004),
        (without("js_code"), 41008),
        (with("js_code", ""), 41008),
        (without("grant_type"), 40002),
        (with("grant_type", "client_credential"), 40002),
        (with("appid", "wxffffffffffffffff"), 40013),
        (with("secret", "wrong"), 40125),
        (
            vec![
                ("appid", "wrong"),
                ("secret", APP_SECRET),
                ("js_code", "x"),
                ("grant_type", "x"),
            ],
            40002,
        ),
        (vec![("appid", APP_ID), ("secret", "wrong")], 41008),
        (valid.to_vec(), 40029),
    ];
    for (query, expected) in cases {
        let answer = sim.call(&query).await.unwrap().json().await.unwrap();
        assert_eq!(errcode(&answer), expected, "{query:?}");
    }
}

#[tokio::test]
async fn other_methods_return_43001_and_spend_no_code() {
    let sim = TestSimulator::start().await;
    let url = format!("{}/sns/jscode2session", sim.base);
    for method in [Method::POST, Method::PUT, Method::HEAD] {
        let is_head = method == Method::HEAD;
        let request = sim
            .http
            .request(method, &url)
            .query(&query("sim-once-alice-1"));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        if !is_head {
            assert_eq!(errcode(&response.json().await.unwrap()), 43001);
        }
    }
    assert_eq!(sim.errcode("sim-once-alice-1").await, 0);
}
