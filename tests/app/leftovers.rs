//! The check that a test leaves nothing in the queue.

use std::time::Duration;

use avalon_core::jobs::Reconcile;
use avalon_queue::{JobState, NewJob};
use avalon_test_support::{TestDatabase, eventually};
use avalon_tests::app::TestApp;
use avalon_workers::Sweep;
use sqlx::{Connection, SqliteConnection};

#[tokio::test]
#[should_panic(expected = "the test left jobs in the queue: queued job")]
async fn job_left_in_the_queue_fails_the_test() {
    let app = TestApp::start().await;
    app.app.queue.enqueue(&Sweep {}).await.unwrap();
}

#[tokio::test]
#[should_panic(expected = "the test left jobs in the queue: dead job")]
async fn dead_job_fails_the_test() {
    let app = TestApp::start().await;
    let mut job = NewJob::from(&Sweep {});
    // Not what the handler can decode.
    job.payload = serde_json::value::to_raw_value(&1).unwrap().into();
    app.app.queue.enqueue(job).await.unwrap();
    app.run_due().await;
}

#[tokio::test]
async fn declared_and_delayed_jobs_do_not_fail_the_test() {
    let app = TestApp::start().await;
    app.app.queue.enqueue(&Sweep {}).await.unwrap();
    app.expect_leftover("sweep");
    let reconcile = Reconcile {
        day: jiff::civil::date(2026, 1, 1),
        again: false,
    };
    let later = NewJob::from(&reconcile).delayed(Duration::from_secs(60));
    app.app.queue.enqueue(later).await.unwrap();
}

#[tokio::test]
async fn outage_makes_no_dead_letters_of_scheduled_jobs() {
    let database = TestDatabase::sqlite();
    let mut connection = SqliteConnection::connect(database.url()).await.unwrap();
    let app = TestApp::builder().database(database).start().await;
    // A table that is missing counts as an outage: a release may be about to add it.
    let rename = sqlx::raw_sql("ALTER TABLE inbox RENAME TO hidden");
    rename.execute(&mut connection).await.unwrap();
    let sweep = app.app.queue.enqueue(&Sweep {}).await.unwrap().id();
    let ended = eventually(Duration::from_secs(20), async || {
        app.run_due().await;
        let job = app.app.queue.store().get(sweep).await.unwrap().unwrap();
        if job.state.is_final() {
            Ok(job)
        } else {
            Err(job.state)
        }
    })
    .await;
    assert_eq!(ended.state, JobState::Rejected, "{ended:?}");
    assert_eq!(ended.error.unwrap().code, "STORE_UNAVAILABLE");
}
