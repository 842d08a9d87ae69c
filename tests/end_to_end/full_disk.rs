//! A full disk under SQLite: players are asked to come back, accepted jobs wait, and all is well as soon as there
//! is room.

use std::time::Duration;

use avalon_test_support::{Avalon, FullDisk, eventually_eq};
use avalon_tests::{ApiResponse, Game};
use serde_json::json;

/// Maximum time without service once there is room.
const RECOVERY: Duration = Duration::from_secs(8);
/// Orders that wait for room.
const ORDERS: usize = 3;
/// Requests that fill what SQLite can overwrite without growing its files.
const MAX_REQUESTS: usize = 2000;

/// Signs players in without waiting; returns the addresses of the jobs that were accepted before the first
/// refusal, and that.
async fn sign_in_until_refused(game: &Game, name: &str) -> (Vec<String>, ApiResponse) {
    let mut accepted = Vec::new();
    for n in 0..MAX_REQUESTS {
        let code = format!("sim-{name}{n}");
        let response = game.login_preferring(&code, "respond-async").await;
        match response.status.as_u16() {
            202 => accepted.push(response.header("location").to_owned()),
            _ => return (accepted, response),
        }
    }
    panic!("the disk is not full");
}

/// Signs players in until one has to wait, and returns the address of that job.
async fn first_that_waits(game: &Game) -> String {
    for n in 0..MAX_REQUESTS {
        let response = game.login_preferring(&format!("sim-p{n}"), "wait=1").await;
        match response.status.as_u16() {
            200 => {}
            202 => return response.header("location").to_owned(),
            _ => panic!("{response:?}"),
        }
    }
    panic!("the disk is not full");
}

#[tokio::test]
async fn full_disk_of_queue_and_database_is_waited_out() {
    let disk = FullDisk::with_room();
    let dev = disk.hold(Avalon::command("dev"), ".db").start().await;
    let game = Game::of(&dev, &dev);
    let alice = game.player("alice").await;
    disk.fill();
    let (accepted, refused) = sign_in_until_refused(&game, "p").await;
    refused.assert_problem(503, "QUEUE_UNAVAILABLE");
    // It stays that way, for orders too.
    for n in 0..20 {
        let order = alice.order("gems-60", 1, &format!("full-{n}")).await;
        assert!(matches!(order.status.as_u16(), 202 | 503), "{order:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    disk.make_room();
    eventually_eq(RECOVERY, 200, async || {
        game.login("sim-bob").await.status.as_u16()
    })
    .await;
    eventually_eq(RECOVERY, 200, async || {
        alice.order("gems-60", 1, "after").await.status.as_u16()
    })
    .await;
    for job in &accepted {
        let job = game.job(job).await;
        assert_eq!(job["status"], "succeeded", "{job}");
    }
}

#[tokio::test]
async fn full_disk_of_the_database_ends_no_job() {
    let disk = FullDisk::with_room();
    // The queue's file is on another disk.
    let dev = disk.hold(Avalon::command("dev"), "avalon.db").start().await;
    let game = Game::of(&dev, &dev);
    let alice = game.player("alice").await;
    disk.fill();
    let waiting = first_that_waits(&game).await;
    for n in 0..ORDERS {
        let order = alice.request_order("gems-60", &format!("full-{n}")).await;
        assert_eq!(order.status, 202, "{order:?}");
        let job = order.header("location");
        eventually_eq(Duration::from_secs(10), json!("retrying"), async || {
            alice.get(job).await.body["status"].clone()
        })
        .await;
    }
    disk.make_room();
    eventually_eq(RECOVERY, 200, async || {
        game.login("sim-bob").await.status.as_u16()
    })
    .await;
    let job = game.job(&waiting).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    for n in 0..ORDERS {
        eventually_eq(Duration::from_secs(20), 200, async || {
            alice
                .order("gems-60", 1, &format!("full-{n}"))
                .await
                .status
                .as_u16()
        })
        .await;
    }
    let orders = alice.get("/api/wx/orders").await.body;
    assert_eq!(
        orders["orders"].as_array().map(Vec::len),
        Some(ORDERS),
        "{orders}"
    );
}
