//! Refunds that WeChat does not take, can't bring home, or ends without the money being back.

use avalon_test_support::FleetSettings;
use avalon_tests::send;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::harness::{Drill, Stores};

pub(super) const ALERTS: &[&str] = &["RefundsClosed", "RefundsRefused", "RefundsStuck"];

#[tokio::test]
#[ignore = "takes minutes: scripts/alert-drill runs it"]
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
        .fault("the player's account takes no refund", &["RefundsStuck"])
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
        .fault("the merchant's balance is short", &["RefundsRefused"])
        .await;
    let balance = |fen: Option<i64>| json!({ "balanceFen": fen });
    // Paid before, since a payment fills it.
    let paid = paid(drill).await;
    drill.game.set("pay/settings", balance(Some(0))).await;
    refund_of(drill, &paid).await;
    // It has been refused for two hours.
    let mut database = PgConnection::connect(database_url).await.unwrap();
    let back = "UPDATE refunds SET created_at = created_at - 7200000 WHERE order_id = $1";
    let set_back = sqlx::query(back).bind(&paid).execute(&mut database).await;
    assert_eq!(set_back.unwrap().rows_affected(), 1);
    drill.fires(&fault).await;
    drill.game.set("pay/settings", balance(None)).await;
    drill.ends(fault).await;
}

async fn outcome(drill: &Drill, outcome: &str) {
    let settings = json!({"refundOutcome": outcome, "refundDelayMs": 0});
    drill.game.set("pay/settings", settings).await;
}

/// An order that our side knows to be paid.
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
