//! Refunds that WeChat rejects, cannot credit, or closes without returning the money.

use avalon_test_support::FleetSettings;
use avalon_tests::send;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::harness::{Drill, Stores};

pub(super) const ALERTS: &[&str] = &["RefundsClosed", "RefundsRefused", "RefundsStuck"];

#[tokio::test]
#[ignore = "takes minutes; run by scripts/alert-drill"]
async fn drill() {
    let stores = Stores::start().await;
    let fleet = stores
        .fleet()
        .with_payments()
        .env("AVALON_PAY__RECONCILE_AFTER", "1s")
        .start(1, 1)
        .await;
    let mut drill = Drill::of(fleet, ALERTS).await;

    stuck(&mut drill).await;
    closed(&mut drill).await;
    refused(&mut drill, stores.database.url()).await;
    drill.finish();
}

async fn stuck(drill: &mut Drill) {
    let fault = drill
        .fault(
            "the player's account cannot receive a refund",
            &["RefundsStuck"],
        )
        .await;
    outcome(drill, "abnormal").await;
    refund(drill).await;
    drill.fires(&fault).await;
    let refunds = drill.game.ask_simulator("pay/refunds").await;
    let number = refunds["refunds"][0]["outRefundNo"].as_str().unwrap();
    let finish = format!("pay/refunds/{number}/finish");
    let success = json!({"status": "SUCCESS"});
    drill.game.simulator(&finish, success).await;
    drill.ends(fault).await;
}

async fn closed(drill: &mut Drill) {
    let fault = drill
        .fault("WeChat closes a refund", &["RefundsClosed"])
        .await;
    outcome(drill, "closed").await;
    refund(drill).await;
    drill.fires(&fault).await;
    drill.ends(fault).await;
    outcome(drill, "success").await;
}

async fn refused(drill: &mut Drill, database_url: &str) {
    let fault = drill
        .fault(
            "the merchant's balance is insufficient",
            &["RefundsRefused"],
        )
        .await;
    let balance = |fen: Option<i64>| json!({ "balanceFen": fen });
    // Paid first, since a payment raises the balance.
    let paid = paid(drill).await;
    drill.game.set("pay/settings", balance(Some(0))).await;
    refund_of(drill, &paid).await;
    // As if it had been rejected for two hours.
    let mut database = PgConnection::connect(database_url).await.unwrap();
    let back = "UPDATE refunds SET created_at = created_at - 7200000 WHERE order_id = $1";
    let moved = sqlx::query(back).bind(&paid).execute(&mut database).await;
    assert_eq!(moved.unwrap().rows_affected(), 1);
    drill.fires(&fault).await;
    drill.game.set("pay/settings", balance(None)).await;
    drill.ends(fault).await;
}

async fn outcome(drill: &Drill, outcome: &str) {
    let settings = json!({"refundOutcome": outcome, "refundDelayMs": 0});
    drill.game.set("pay/settings", settings).await;
}

/// Creates an order and waits until the service knows that it is paid.
async fn paid(drill: &mut Drill) -> String {
    let order = drill.order_and_pay().await;
    drill.is_paid(&order).await;
    order
}

async fn refund(drill: &mut Drill) {
    let paid = paid(drill).await;
    refund_of(drill, &paid).await;
}

async fn refund_of(drill: &Drill, order: &str) {
    let url = format!("{}/admin/orders/{order}/refund", drill.fleet.apis[0].ops);
    let request = drill.game.client.post(url);
    let request = request.bearer_auth(FleetSettings::ADMIN_TOKEN);
    let request = request.header("idempotency-key", format!("of-{order}"));
    let reason = json!({"reason": "a drill"});
    assert_eq!(send(request.json(&reason)).await.status, 202);
}
