//! The check that an end-to-end test leaves nothing in the queue of the processes that it started.

use avalon_test_support::{Fleet, FleetSettings, TestDatabase, shared_redis_url, unique_prefix};
use avalon_tests::{Game, sessions};

/// A service without workers, with a sign-in in its queue. The fleet is dropped first.
async fn queued_sign_in() -> (Fleet, TestDatabase) {
    let database = TestDatabase::postgres().await;
    let settings = FleetSettings::new(database.url(), &shared_redis_url().await)
        .env("AVALON_REDIS__KEY_PREFIX", unique_prefix());
    let fleet = settings.start(1, 0).await;
    let game = Game::of(&fleet.apis[0], &fleet.simulator);
    let accepted = game.login_preferring("sim-left", "respond-async").await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    (fleet, database)
}

#[tokio::test]
#[should_panic(expected = "the test left jobs in the queue: 1 ready in login")]
async fn job_left_in_the_queue_fails_the_test() {
    let _service = queued_sign_in().await;
}

#[tokio::test]
#[should_panic(expected = "the test left jobs in the queue: 1 dead in login")]
async fn dead_letter_fails_the_test() {
    let (_dev, game) = sessions::dev().await;
    let refused = game.login("sim-error-40125").await;
    refused.assert_problem(503, "WECHAT_MISCONFIGURED");
}

#[tokio::test]
async fn declared_jobs_and_stopped_processes_fail_no_test() {
    let (fleet, _database) = queued_sign_in().await;
    fleet.expect_leftover("login");
    drop(fleet);
    let (fleet, _database) = queued_sign_in().await;
    fleet.apis[0].freeze();
    drop(fleet);
    let (mut fleet, _database) = queued_sign_in().await;
    fleet.apis[0].kill9();
}
