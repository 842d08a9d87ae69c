//! Outages of WeChat: players who wait or poll get what they asked for, and WeChat is not flooded, neither
//! during the outage nor at its end.

use std::time::Duration;

use avalon_test_support::Avalon;
use avalon_tests::{Game, Player};
use serde_json::{Value, json};

/// Sign-ins that start while WeChat is down.
const SIGN_INS: u64 = 30;
/// Orders of one player, fewer than may be unpaid at once.
const ORDERS: u64 = 15;
/// Calls of an API during an outage: the circuit breaker lets one through every few seconds.
const MAX_CALLS: u64 = 100;

/// The APIs of sign-ins and of orders, with the number of jobs.
const APIS: [(&str, u64); 2] = [("code2session", SIGN_INS), ("pay_jsapi", ORDERS)];

async fn calls(game: &Game) -> [u64; 2] {
    [game.calls(APIS[0].0).await, game.calls(APIS[1].0).await]
}

async fn start_sign_in(game: &Game, player: u64) -> String {
    let code = format!("sim-player{player}");
    let accepted = game.login_preferring(&code, "respond-async").await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    accepted.header("location").to_owned()
}

async fn start_order(player: &Player<'_>, n: u64) -> String {
    let accepted = player.request_order("gems-60", &format!("k{n}")).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    accepted.header("location").to_owned()
}

async fn ended(player: &Player<'_>, job: &str) -> Value {
    loop {
        let job = player.get(&format!("{job}?wait=30")).await.body;
        if matches!(job["status"].as_str(), Some("succeeded" | "failed")) {
            return job;
        }
    }
}

/// Starts sign-ins and orders during an outage; all of them succeed.
async fn outage_fails_no_one(faults: Value, lasts: Duration) {
    let dev = Avalon::command("dev")
        .env("AVALON_WECHAT__REQUEST_TIMEOUT", "300ms")
        .env("AVALON_PAY__REQUEST_TIMEOUT", "300ms")
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    let alice = game.player("alice").await;
    game.faults(faults.clone()).await;
    let before = calls(&game).await;
    let (mut sign_ins, mut orders) = (Vec::new(), Vec::new());
    for n in 0..SIGN_INS {
        sign_ins.push(start_sign_in(&game, n).await);
    }
    for n in 0..ORDERS {
        orders.push(start_order(&alice, n).await);
    }
    tokio::time::sleep(lasts).await;
    let during = calls(&game).await;
    game.clear_faults().await;

    for job in &sign_ins {
        assert_eq!(game.job(job).await["status"], "succeeded", "{faults}");
    }
    for job in &orders {
        let order = ended(&alice, job).await;
        assert_eq!(order["status"], "succeeded", "{faults}: {order}");
        assert!(order["result"]["payParams"].is_object(), "{order}");
    }
    let after = calls(&game).await;
    for (n, (api, jobs)) in APIS.into_iter().enumerate() {
        let (failed, needed) = (during[n] - before[n], after[n] - during[n]);
        println!("{faults}: {failed} calls of {api} during the outage, {needed} after it");
        assert!(
            (5..MAX_CALLS).contains(&failed),
            "{failed} calls of {api}: {faults}"
        );
        assert!(
            needed <= jobs + 5,
            "{needed} calls of {api} at its end: {faults}"
        );
    }
}

/// Every kind of outage, each of a WeChat of its own.
async fn each_outage(lasts: Duration) {
    tokio::join!(
        outage_fails_no_one(json!({"outage": "http502"}), lasts),
        outage_fails_no_one(json!({"outage": "reset"}), lasts),
        outage_fails_no_one(json!({"outage": "hang"}), lasts),
        outage_fails_no_one(json!({"errcode": -1, "payError": "SYSTEM_ERROR"}), lasts),
    );
}

#[tokio::test]
async fn wechat_outage_of_ten_seconds_fails_no_one() {
    each_outage(Duration::from_secs(10)).await;
}

#[tokio::test]
#[ignore = "takes a minute; the shorter outage runs the same code"]
async fn wechat_outage_of_a_minute_fails_no_one() {
    each_outage(Duration::from_secs(60)).await;
}
