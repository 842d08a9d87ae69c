//! Injected faults: their effect on calls, and that the control routes keep working.

use std::time::{Duration, Instant};

use axum::Router;
use reqwest::Method;
use tokio::net::TcpListener;

use avalon_simulator::{Simulator, SimulatorSettings};

use crate::harness::{APP_ID, APP_SECRET, TestSimulator, query};

#[tokio::test]
async fn outages_break_calls_but_not_control_routes() {
    let sim = TestSimulator::start().await;
    for outage in ["http502", "reset", "hang", "empty", "truncated"] {
        sim.put("/faults", &format!(r#"{{"outage":"{outage}"}}"#))
            .await;
        if outage == "hang" {
            sim.abandon("sim-once-a-1").await;
        } else {
            match (outage, sim.exchange("sim-once-a-1").await) {
                ("reset", Err(error)) => assert!(!error.is_timeout(), "{error:?}"),
                ("http502", Ok(response)) => assert_eq!(response.status(), 502),
                ("empty", Ok(response)) => assert_eq!(response.text().await.unwrap(), ""),
                ("truncated", Ok(response)) => {
                    assert!(response.json::<serde_json::Value>().await.is_err());
                }
                (_, other) => panic!("{outage}: {other:?}"),
            }
        }
        assert_eq!(sim.get("/state").await["faults"]["outage"], outage);
    }
    assert_eq!(sim.control(Method::DELETE, "/faults", "").await.0, 204);
    assert_eq!(
        sim.errcode("sim-once-a-1").await,
        0,
        "an outage spends no code"
    );
}

#[tokio::test]
async fn outage_after_the_effect_spends_the_code() {
    let sim = TestSimulator::start().await;
    sim.put("/faults", r#"{"outage":"reset","outageAfter":true}"#)
        .await;
    assert!(sim.exchange("sim-once-alice-1").await.is_err());
    sim.put("/faults", "{}").await;
    assert_eq!(sim.errcode("sim-once-alice-1").await, 40163);
}

#[tokio::test]
async fn latency_is_before_or_after_the_effect() {
    let sim = TestSimulator::start().await;
    for (after, code, left) in [(false, "sim-once-a-1", 0), (true, "sim-once-a-2", 40163)] {
        sim.put(
            "/faults",
            &format!(r#"{{"latencyMs":60000,"latencyAfter":{after}}}"#),
        )
        .await;
        let call = sim.exchange(code);
        assert!(
            tokio::time::timeout(Duration::from_millis(100), call)
                .await
                .is_err()
        );
        sim.put("/faults", "{}").await;
        assert_eq!(sim.errcode(code).await, left);
    }
    sim.put("/faults", r#"{"latencyMs":60}"#).await;
    let started = Instant::now();
    assert_eq!(sim.errcode("sim-alice").await, 0);
    assert!(started.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn errors_occur_at_their_rate_and_spend_no_code() {
    let sim = TestSimulator::start().await;
    sim.put("/faults", r#"{"errcode":45011}"#).await;
    assert_eq!(sim.errcode("sim-once-alice-1").await, 45011);
    sim.put("/faults", r#"{"errorRate":0}"#).await;
    assert_eq!(sim.errcode("sim-once-alice-1").await, 0);
    sim.put("/faults", r#"{"errorRate":0.5}"#).await;
    let mut failed = 0;
    for _ in 0..100 {
        match sim.errcode("sim-alice").await {
            0 => {}
            -1 => failed += 1,
            other => panic!("{other}"),
        }
    }
    assert!((30..=70).contains(&failed), "{failed} of 100");
}

#[tokio::test]
async fn shutdown_does_not_wait_for_held_responses() {
    let sim = TestSimulator::start().await;
    let url = format!("{}/sns/jscode2session", sim.base);
    let call = tokio::spawn(sim.http.get(url).query(&query("sim-lost-alice-1")).send());
    while sim.arrived().await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sim.stop().await;
    assert!(call.await.unwrap().is_err());
}

#[tokio::test]
async fn reset_without_serve_truncates_the_response() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://{}/sns/jscode2session",
        listener.local_addr().unwrap()
    );
    let routes: Router = Simulator::new(SimulatorSettings::new(APP_ID, APP_SECRET)).router();
    let server = tokio::spawn(async { axum::serve(listener, routes).await });
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = async {
        http.get(url)
            .query(&query("sim-reset-alice-1"))
            .send()
            .await?
            .bytes()
            .await
    };
    assert!(answer.await.is_err());
    server.abort();
}
