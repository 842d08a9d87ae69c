//! Commands that run to completion.

use avalon_test_support::{Avalon, AvalonCommand, TestDatabase};
use avalon_tests::Game;
use serde_json::Value;

#[tokio::test]
async fn openapi_output_matches_the_reviewed_document() {
    let output = Avalon::command("openapi").run().await;
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let reviewed: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    assert!(
        printed == reviewed,
        "the API has changed: review it, then `avalon openapi > docs/openapi.json`"
    );
}

#[tokio::test]
async fn migration_is_idempotent_on_both_databases() {
    for database in TestDatabase::both().await {
        for _ in 0..2 {
            let migrate = Avalon::command("migrate").env("AVALON_DATABASE__URL", database.url());
            let output = migrate.run().await;
            assert!(output.status.success(), "{output:?}");
        }
    }
}

#[tokio::test]
async fn unreachable_database_prints_one_line() {
    let url = "postgres://someone:pa55word@127.0.0.1:1/nothing";
    let output = Avalon::command("migrate")
        .env("AVALON_DATABASE__URL", url)
        .run()
        .await;
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(!stderr.contains("pa55word"), "{stderr}");
}

#[tokio::test]
async fn jobs_can_be_managed_while_the_service_is_down() {
    let mut dev = Avalon::command("dev").start().await;
    let game = Game::of(&dev, &dev);
    for code in ["sim-error-40125", "sim-error-40013"] {
        game.login(code)
            .await
            .assert_problem(503, "WECHAT_MISCONFIGURED");
    }
    dev.terminate();
    assert!(dev.wait_exit().await.success());

    let folder = dev.folder().to_owned();
    let jobs = |arguments: &str| {
        let command = Avalon::command("jobs").folder(&folder);
        let command = arguments.split(' ').fold(command, AvalonCommand::arg);
        async move {
            let output = command.run().await;
            (
                output.status.success(),
                String::from_utf8(output.stdout).unwrap(),
            )
        }
    };
    let stats: Value = serde_json::from_str(&jobs("stats --json").await.1).unwrap();
    let login = stats
        .as_array()
        .unwrap()
        .iter()
        .find(|queue| queue["queue"] == "login")
        .unwrap();
    assert_eq!((&login["dead"], &login["ready"]), (&2.into(), &0.into()));
    assert!(jobs("stats").await.1.contains("login"));

    let list: Value = serde_json::from_str(&jobs("list --json").await.1).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2);
    let id = list[0]["jobId"].as_str().unwrap();
    assert!(jobs("list").await.1.contains(id));
    assert!(
        !jobs(&format!("show {id}")).await.1.contains("sim-error"),
        "no payload"
    );
    assert!(
        jobs(&format!("show {id} --payload"))
            .await
            .1
            .contains("sim-error")
    );

    assert!(
        jobs(&format!("retry {id}"))
            .await
            .1
            .contains("1 enqueued again")
    );
    assert!(
        !jobs(&format!("retry {id}")).await.0,
        "it is no longer a dead letter"
    );
    assert!(
        jobs("purge --all --queue order")
            .await
            .1
            .contains("0 deleted")
    );
    assert!(jobs("purge --all").await.1.contains("1 deleted"));
    assert!(!jobs("show not-an-id").await.0);
}

#[tokio::test]
async fn missing_queue_is_reported_not_created() {
    let folder = std::env::temp_dir().join(format!("avalon-nothing-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let output = Avalon::command("jobs")
        .arg("stats")
        .folder(&folder)
        .run()
        .await;
    assert!(!output.status.success());
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("no embedded queue")
    );
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn healthcheck_reports_readiness_of_its_process() {
    let mut dev = Avalon::command("dev").start().await;
    let address = dev.ops.trim_start_matches("http://").to_owned();
    let healthcheck = async |argument: Option<&str>| {
        let command = Avalon::command("healthcheck").env("AVALON_OPS__LISTEN", &address);
        let command = match argument {
            Some(url) => command.arg("--url").arg(url),
            None => command,
        };
        command.run().await
    };
    assert!(healthcheck(None).await.status.success());
    let simulator = format!("{}/_sim/state", dev.simulator);
    assert!(healthcheck(Some(&simulator)).await.status.success());
    let nowhere = format!("{}/nowhere", dev.ops);
    assert!(!healthcheck(Some(&nowhere)).await.status.success());
    dev.kill9();
    let output = healthcheck(None).await;
    assert!(!output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}
