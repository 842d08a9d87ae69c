//! The control routes: their effects, and the input that they reject.

use reqwest::Method;
use serde_json::json;

use crate::harness::{APP_SECRET, TestSimulator};

#[tokio::test]
async fn unionid_is_returned_when_enabled() {
    let sim = TestSimulator::start().await;
    assert_eq!(
        sim.put("/settings", r#"{"unionid":true}"#).await["unionid"],
        true
    );
    let session = sim.session("sim-alice").await;
    let unionid = session["unionid"].as_str().unwrap();
    assert!(unionid.len() == 28 && unionid.starts_with('o'));
    assert_ne!(session["unionid"], session["openid"]);
}

#[tokio::test]
async fn session_keys_rotate_when_enabled() {
    let sim = TestSimulator::start().await;
    let first = sim.session("sim-alice").await;
    sim.put("/settings", r#"{"sessionKeyRotation":"always"}"#)
        .await;
    let second = sim.session("sim-alice").await;
    assert_eq!(second["openid"], first["openid"]);
    assert_ne!(second["session_key"], first["session_key"]);
    let player = sim
        .get(&format!("/players/{}", second["openid"].as_str().unwrap()))
        .await;
    assert_eq!(player["sessionKey"], second["session_key"]);
    assert_eq!(player["name"], "alice");
    let (status, _) = sim.control(Method::GET, "/players/oNobody", "").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn quota_is_per_minute_and_spends_no_code() {
    let sim = TestSimulator::start().await;
    sim.put("/settings", r#"{"quotaPerMinute":2}"#).await;
    assert_eq!(sim.errcode("sim-alice").await, 0);
    assert_eq!(sim.errcode("sim-alice").await, 0);
    assert_eq!(sim.errcode("sim-once-alice-1").await, 45011);
    sim.put("/settings", r#"{"clockSkewSeconds":60}"#).await;
    assert_eq!(sim.errcode("sim-once-alice-1").await, 0);
    assert_eq!(sim.errcode("sim-alice").await, 0);
    assert_eq!(sim.errcode("sim-alice").await, 45011);
    let settings = sim.put("/settings", r#"{"quotaPerMinute":null}"#).await;
    assert_eq!(
        settings["clockSkewSeconds"], 60,
        "absent fields do not change"
    );
    assert_eq!(sim.errcode("sim-alice").await, 0);
}

#[tokio::test]
async fn content_type_can_be_text() {
    let sim = TestSimulator::start().await;
    let content_type = async || {
        let response = sim.exchange("sim-alice").await.unwrap();
        response.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert!(content_type().await.starts_with("application/json"));
    sim.put("/settings", r#"{"contentType":"text"}"#).await;
    assert!(content_type().await.starts_with("text/plain"));
}

#[tokio::test]
async fn clock_skew_applies_to_the_date_header() {
    let sim = TestSimulator::start().await;
    sim.put("/settings", r#"{"clockSkewSeconds":-315360000}"#)
        .await;
    let response = sim.exchange("sim-alice").await.unwrap();
    let dates: Vec<_> = response.headers().get_all("date").iter().collect();
    assert_eq!(dates.len(), 1);
    let now = sim.get("/state").await["now"].as_str().unwrap()[..4].to_owned();
    assert!(
        dates[0].to_str().unwrap().contains(&now),
        "{dates:?} is not of {now}"
    );
    assert!(now.parse::<u16>().unwrap() < 2026);
}

#[tokio::test]
async fn requests_are_logged_without_secrets_and_counted() {
    let sim = TestSimulator::start().await;
    sim.session("sim-alice").await;
    sim.session("sim-error-40226").await;
    sim.exchange("sim-http-503").await.unwrap();
    assert_eq!(
        sim.get("/requests/count?api=code2session").await,
        json!({"count": 3})
    );
    assert_eq!(sim.get("/requests/count").await, json!({"count": 3}));
    let list = sim.get("/requests?api=code2session").await;
    assert!(!list.to_string().contains(APP_SECRET));
    let list = list["requests"].as_array().unwrap();
    assert_eq!(list.len(), 3);
    assert_eq!(list[0]["api"], "code2session");
    assert_eq!(list[0]["method"], "GET");
    assert_eq!(list[0]["path"], "/sns/jscode2session");
    assert_eq!(list[0]["query"]["js_code"], "sim-alice");
    assert_eq!(list[0]["query"]["secret"], "***");
    assert_eq!([&list[0]["errcode"], &list[1]["errcode"]], [0, 40226]);
    assert_eq!(list[2]["errcode"], json!(null));
    assert_eq!(list[2]["answer"], "http503");
}

#[tokio::test]
async fn unknown_path_returns_404_and_is_not_logged() {
    let sim = TestSimulator::start().await;
    for path in ["/sns/jscode2sessions", "/", "/_sim/nothing"] {
        let response = sim
            .http
            .get(format!("{}{path}", sim.base))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 404, "{path}");
    }
    assert_eq!(sim.arrived().await, 0);
}

#[tokio::test]
async fn reset_clears_all_state() {
    let sim = TestSimulator::start().await;
    let minted = sim.mint("alice").await;
    sim.session("sim-once-alice-1").await;
    sim.put("/settings", r#"{"unionid":true}"#).await;
    sim.put("/faults", r#"{"errcode":-1}"#).await;
    assert_eq!(sim.control(Method::POST, "/reset", "").await.0, 204);
    assert_eq!(sim.get("/requests/count").await, json!({"count": 0}));
    let state = sim.get("/state").await;
    assert_eq!(state["settings"]["unionid"], false);
    assert_eq!(state["codes"], json!({"minted": 0, "spent": 0}));
    assert_eq!(state["players"], 0);
    assert_eq!(sim.errcode("sim-once-alice-1").await, 0);
    assert_eq!(sim.errcode(minted["code"].as_str().unwrap()).await, 40029);
    let list = sim.get("/requests").await;
    assert_eq!(list["requests"][1]["errcode"], 40029);
}

#[tokio::test]
async fn invalid_input_returns_400_and_changes_nothing() {
    let sim = TestSimulator::start().await;
    let before = sim.get("/state").await;
    let cases = [
        (Method::PUT, "/settings", r#"{"unionId":true}"#, "unionId"),
        (Method::PUT, "/settings", r#"{"quotaPerMinute":-1}"#, "-1"),
        (
            Method::PUT,
            "/settings",
            r#"{"clockSkewSeconds":99999999999}"#,
            "clockSkewSeconds",
        ),
        (Method::PUT, "/faults", r#"{"latency":5}"#, "latency"),
        (
            Method::PUT,
            "/faults",
            r#"{"latencyMs":60001}"#,
            "latencyMs",
        ),
        (Method::PUT, "/faults", r#"{"errorRate":1.5}"#, "errorRate"),
        (Method::PUT, "/faults", r#"{"outage":"total"}"#, "total"),
        (Method::PUT, "/faults", r#"{"api":"login"}"#, "code2session"),
        (Method::PUT, "/faults", "", "body"),
        (Method::POST, "/codes", r#"{"name":"a b"}"#, "name"),
        (Method::POST, "/codes", r#"{}"#, "name"),
        (Method::GET, "/requests?api=login", "", "login"),
        (Method::GET, "/requests?apis=login", "", "apis"),
    ];
    for (method, path, body, hint) in cases {
        let (status, answer) = sim.control(method, path, body).await;
        assert_eq!(status, 400, "{path} {body}");
        assert!(
            answer["error"].as_str().unwrap().contains(hint),
            "{path} {body}: {answer}"
        );
    }
    let after = sim.get("/state").await;
    assert_eq!(
        [&after["settings"], &after["faults"]],
        [&before["settings"], &before["faults"]]
    );
}
