//! Jobs that wait, die or outlive their workers, and an event sink that is down.

use std::time::Duration;

use avalon_tests::event_sinks::SinkDouble;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::sleep;

use super::harness::{Drill, Stores};

pub(super) const ALERTS: &[&str] = &[
    "DeadLettersGrow",
    "EventSinkAway",
    "JobsPoisoned",
    "JobsWaitTooLong",
    "QueueStalled",
    "WorkersLoseJobs",
];

#[tokio::test]
#[ignore = "takes minutes; run by scripts/alert-drill"]
async fn drill() {
    let stores = Stores::start().await;
    let collector = SinkDouble::collector("project-1");
    let fleet = stores
        .fleet()
        .env("AVALON_QUEUE__LEASE_TIMEOUT", "2s")
        .env("AVALON_QUEUE__MAX_LOST_LEASES", "2")
        // A sign-in can run for nine seconds.
        .env("AVALON_WECHAT__REQUEST_TIMEOUT", "12s")
        .env("AVALON_ANALYTICS__COLLECTOR_URL", &collector.url)
        .env("AVALON_ANALYTICS__COLLECTOR_APP_ID", "project-1")
        .start(1, 1)
        .await;
    let mut drill = Drill::of(fleet, ALERTS).await;

    let fault = drill
        .fault(
            "all workers are stopped while sign-ins arrive",
            &["JobsWaitTooLong", "QueueStalled"],
        )
        .await;
    drill.stop_workers().await;
    drill.sign_ins(5).await;
    drill.fires(&fault).await;
    drill.fleet.workers[0].restart().await;
    drill.ends(fault).await;

    let fault = drill
        .fault("the event collector is down", &["EventSinkAway"])
        .await;
    for _ in 0..8 {
        report(&drill).await;
        sleep(Duration::from_secs(1)).await;
    }
    drill.fires(&fault).await;
    collector.start().await;
    report(&drill).await;
    drill.ends(fault).await;

    let fault = drill
        .fault(
            "workers are repeatedly killed with a dozen running jobs",
            &["WorkersLoseJobs", "JobsPoisoned", "DeadLettersGrow"],
        )
        .await;
    for number in 0..12 {
        drill
            .sign_in(&format!("sim-slow-9000-victim{number}"))
            .await;
    }
    for _ in 0..2 {
        // All of them run by now, including those whose leases had expired; none has finished.
        sleep(Duration::from_secs(5)).await;
        drill.fleet.workers[0].kill9();
        drill.fleet.workers[0].restart().await;
    }
    drill.fires(&fault).await;
    drill.ends(fault).await;

    drill.finish();
}

/// Reports one event of a player.
async fn report(drill: &Drill) {
    let alice = drill.game.player("alice").await;
    let now = Timestamp::now().as_millisecond();
    let events = json!({"events": [{"eventName": "level_end", "timestamp": now}]});
    let reported = alice.post("/api/wx/report", "unused", events).await;
    assert_eq!(reported.body["accepted"], 1, "{reported:?}");
}
