//! Jobs that wait, that die, or that kill their workers.

use std::time::Duration;

use avalon_test_support::{FleetSettings, PostgresServer, RedisServer, TestDatabase};
use tokio::time::sleep;

use super::scene::Drill;

pub(super) const ALERTS: &[&str] = &[
    "DeadLettersGrow",
    "JobsPoisoned",
    "JobsWaitTooLong",
    "QueueStalled",
    "WorkersLoseJobs",
];

#[tokio::test]
#[ignore = "takes minutes: scripts/alert-drill runs it"]
async fn drill() {
    let postgres = PostgresServer::start().await;
    let database = TestDatabase::on_postgres(&postgres.url()).await;
    let redis = RedisServer::start().await;
    let fleet = FleetSettings::new(database.url(), &redis.url())
        .env("AVALON_QUEUE__LEASE_TIMEOUT", "2s")
        .env("AVALON_QUEUE__MAX_LOST_LEASES", "2")
        // A sign-in can be in hand for nine seconds.
        .env("AVALON_WECHAT__REQUEST_TIMEOUT", "12s")
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
        .fault(
            "workers are killed with a dozen jobs in hand, again and again",
            &["WorkersLoseJobs", "JobsPoisoned", "DeadLettersGrow"],
        )
        .await;
    for number in 0..12 {
        drill
            .sign_in(&format!("sim-slow-9000-victim{number}"))
            .await;
    }
    for _ in 0..2 {
        // They are in hand by now, also those whose leases have expired; none has ended.
        sleep(Duration::from_secs(5)).await;
        drill.fleet.workers[0].kill9();
        drill.fleet.workers[0].restart().await;
    }
    drill.fires(&fault).await;
    drill.ends(fault).await;

    drill.finish();
}
