//! WeChat's message push during outages: a push is acknowledged in time and lost never.

use std::time::{Duration, Instant};

use avalon_test_support::{AvalonCommand, FleetSettings, RedisServer, TestDatabase, eventually_eq};
use avalon_tests::wechat_push::{credentials, push};
use avalon_tests::{client, send};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(40);
/// Within this an answer is wanted.
const BUDGET: Duration = Duration::from_secs(1);

#[tokio::test]
async fn push_is_acknowledged_without_redis_and_workers() {
    let database = TestDatabase::postgres().await;
    let mut redis = RedisServer::start().await;
    let settings = FleetSettings::new(database.url(), &redis.url())
        .env("AVALON_PUSH__CREDENTIALS", credentials());
    let mut fleet = settings.clone().start(1, 1).await;
    // The worker is killed, perhaps within a sweep, whose lease expires after the test.
    fleet.expect_leftover("maintenance");
    let (client, api) = (client(), fleet.apis[0].http.clone());
    redis.stop();
    fleet.workers[0].kill9();

    let messages: Vec<Value> = (0..20)
        .map(|number| json!({"Event": "user_authorization_revoke", "OpenID": format!("o{number}")}))
        .collect();
    for message in messages.iter().chain(&messages) {
        let started = Instant::now();
        let response = push(&client, &api, message).send().await.unwrap();
        assert_eq!(response.status(), 200, "{message}");
        assert!(started.elapsed() < BUDGET, "{:?}", started.elapsed());
        assert_eq!(response.text().await.unwrap(), "success");
    }

    let run = async |arguments: &[&str]| {
        let command = settings.command("pushes");
        let command = arguments
            .iter()
            .fold(command, |command, it| command.arg(*it));
        let output = AvalonCommand::run(command).await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = run(&["list", "--status", "pending", "--json"]).await;
    let pending: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(pending.as_array().unwrap().len(), 20, "each is stored once");

    redis.restart().await;
    fleet.workers[0].restart().await;
    let ops = fleet.apis[0].ops.clone();
    let number_of = async |status: &str| {
        let list = client.get(format!("{ops}/admin/pushes?status={status}"));
        let list = send(list.bearer_auth(FleetSettings::ADMIN_TOKEN)).await;
        list.body["pushes"].as_array().map_or(0, Vec::len)
    };
    eventually_eq(TIMEOUT, 20, async || number_of("stored").await).await;

    let id = pending[0]["id"].as_str().unwrap();
    let shown = run(&["show", id]).await;
    assert!(shown.contains("user_authorization_revoke"), "{shown}");
    run(&["replay", id]).await;
    eventually_eq(TIMEOUT, 20, async || number_of("stored").await).await;
}

#[tokio::test]
async fn push_is_not_acknowledged_while_it_cannot_be_stored() {
    let database = TestDatabase::postgres().await;
    let redis = RedisServer::start().await;
    let fleet = FleetSettings::new(database.url(), &redis.url())
        .env("AVALON_PUSH__CREDENTIALS", credentials())
        .start(1, 0)
        .await;
    let (client, api) = (client(), fleet.apis[0].http.clone());
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE pushes IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let message = json!({"Event": "some_new_event"});
    let started = Instant::now();
    let refused = send(push(&client, &api, &message)).await;
    refused.assert_problem(503, "STORE_UNAVAILABLE");
    assert!(started.elapsed() < BUDGET, "{:?}", started.elapsed());
    lock.rollback().await.unwrap();
    // WeChat repeats it.
    eventually_eq(TIMEOUT, 200, async || {
        send(push(&client, &api, &message)).await.status.as_u16()
    })
    .await;
}
