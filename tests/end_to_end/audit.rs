//! The audit log, as an operator reads it.

use std::time::Duration;

use avalon_test_support::{Avalon, FleetSettings, eventually_eq};
use avalon_tests::{ApiResponse, Game, send};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

const TOKEN: &str = FleetSettings::ADMIN_TOKEN;

async fn as_admin(request: RequestBuilder) -> ApiResponse {
    send(request.bearer_auth(TOKEN)).await
}

async fn events(game: &Game, dev: &Avalon, query: &str) -> Vec<Value> {
    let url = format!("{}/admin/audit{query}", dev.ops);
    let response = as_admin(game.client.get(url)).await;
    assert_eq!(response.status, 200, "{response:?}");
    response.body["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn operator_actions_are_audited_with_their_address() {
    let dev = Avalon::command("dev")
        .env("AVALON_ADMIN__TOKEN", TOKEN)
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    let admin = |path: &str| format!("{}/admin/{path}", dev.ops);

    let product = json!({"name": "Hat", "price": 100});
    let put = game.client.put(admin("products/hat")).json(&product);
    assert_eq!(as_admin(put).await.status, 200);
    let alice = game.player("alice").await;
    let created = alice.order("hat", 1, "one").await;
    alice.pay(&created).await;
    let order = created.body["orderId"].as_str().unwrap();
    let paid = async || alice.status(order).await;
    eventually_eq(Duration::from_secs(10), "paid".to_owned(), paid).await;
    let refund = game.client.post(admin(&format!("orders/{order}/refund")));
    let refund = refund.header("idempotency-key", "r1");
    let refunded = as_admin(refund.json(&json!({"reason": "requested"}))).await;
    assert_eq!(refunded.status, 202, "{refunded:?}");
    game.login("sim-error-40125").await;
    let dead = as_admin(game.client.get(admin("jobs?queue=login")))
        .await
        .body;
    let job = dead["jobs"][0]["jobId"].as_str().unwrap();
    as_admin(game.client.post(admin(&format!("jobs/{job}/retry")))).await;
    game.job(&Game::sign_in_job(job, "sim-error-40125")).await;
    as_admin(game.client.delete(admin(&format!("jobs/{job}")))).await;

    let all = events(&game, &dev, "").await;
    let kinds: Vec<_> = all.iter().map(|event| event["kind"].clone()).collect();
    let expected = [
        "job_deleted",
        "job_replayed",
        "order_refunded",
        "product_changed",
    ];
    assert_eq!(kinds, expected);
    for event in &all {
        assert_eq!(event["actor"], "operator");
        assert_eq!(event["address"], "127.0.0.1");
    }
    assert_eq!(all[2]["detail"]["orderId"], order);
    assert_eq!(all[2]["detail"]["amount"], 100);

    let one = events(&game, &dev, "?kind=product_changed").await;
    assert_eq!(one.len(), 1);
    assert_eq!(one[0]["detail"]["productId"], "hat");
    let cursor = all[1]["_id"].as_str().unwrap();
    let older = events(&game, &dev, &format!("?cursor={cursor}&limit=1")).await;
    assert_eq!(older, all[2..3]);
    for invalid in ["?kind=nothing", "?userId=x", "?cursor=x", "?colour=red"] {
        let response = as_admin(game.client.get(admin(&format!("audit{invalid}")))).await;
        assert_eq!(
            (response.status.as_u16(), response.code()),
            (400, "QUERY_INVALID")
        );
    }
}

#[tokio::test]
async fn admin_token_guesses_are_audited_up_to_a_limit() {
    let dev = Avalon::command("dev")
        .env("AVALON_ADMIN__TOKEN", TOKEN)
        .start()
        .await;
    let game = Game::of(&dev, &dev);
    // More than two minutes' allowance, in case a new minute begins meanwhile. Each is delayed.
    let guesses = 60;
    for first in (0..guesses).step_by(3) {
        let guess = async |guess: usize| {
            let url = format!("{}/admin/jobs?guess={guess}", dev.ops);
            let response = send(game.client.get(url).bearer_auth("guess")).await;
            assert_eq!(response.status, 401);
        };
        tokio::join!(guess(first), guess(first + 1), guess(first + 2));
    }
    let stored = events(&game, &dev, "?kind=admin_refused&limit=1000").await;
    assert!((20..=41).contains(&stored.len()), "{}", stored.len());
    assert_eq!(stored[0]["detail"]["path"], "/admin/jobs");
    assert!(!json!(stored).to_string().contains("guess"));

    let metrics = game.client.get(format!("{}/metrics", dev.ops)).send();
    let metrics = metrics.await.unwrap().text().await.unwrap();
    let count = |outcome: &str| -> usize {
        let series =
            format!("avalon_audit_events_total{{kind=\"admin_refused\",outcome=\"{outcome}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
        line.expect(&series).parse().unwrap()
    };
    assert_eq!(count("stored"), stored.len());
    assert_eq!(count("suppressed"), guesses - stored.len());
    assert_eq!(count("lost"), 0);
}
