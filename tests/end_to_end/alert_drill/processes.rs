//! Processes that are down, restart repeatedly, or keep an old version after a rollout.

use std::time::Duration;

use avalon_test_support::AvalonBinary;
use tokio::time::sleep;

use super::harness::{Drill, Stores};

pub(super) const ALERTS: &[&str] = &[
    "InstanceDown",
    "ProcessesRestart",
    "ServiceDown",
    "VersionsMixed",
];

#[tokio::test]
#[ignore = "takes minutes; run by scripts/alert-drill"]
async fn drill() {
    let stores = Stores::start().await;
    let settings = stores.fleet();
    let mut fleet = settings.start(1, 1).await;
    // The second API runs the old version later.
    let second = fleet.settings.command("api");
    fleet.apis.push(second.clone().start().await);
    let mut drill = Drill::of(fleet, ALERTS).await;

    let fault = drill
        .fault("all workers are stopped", &["ServiceDown", "InstanceDown"])
        .await;
    drill.stop_workers().await;
    drill.fires(&fault).await;
    drill.fleet.workers[0].restart().await;
    drill.ends(fault).await;

    let fault = drill
        .fault("an API process restarts repeatedly", &["ProcessesRestart"])
        .await;
    for _ in 0..4 {
        drill.fleet.apis[1].restart().await;
        sleep(Duration::from_secs(2)).await;
    }
    drill.fires(&fault).await;
    drill.ends(fault).await;

    let fault = drill
        .fault("a rollout leaves one process behind", &["VersionsMixed"])
        .await;
    // Free its port before the other one binds it.
    drop(drill.fleet.apis.pop());
    let previous = second.clone().binary(AvalonBinary::previous());
    drill.fleet.apis.push(previous.start().await);
    drill.fires(&fault).await;
    drop(drill.fleet.apis.pop());
    drill.fleet.apis.push(second.start().await);
    drill.ends(fault).await;

    drill.finish();
}
