//! Reconciliation with WeChat's bills does not happen, or finds differences.

use avalon_core::payments::reconciliation::beijing_day;
use avalon_tests::Game;
use jiff::{Timestamp, ToSpan};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::harness::{Drill, Stores};

pub(super) const ALERTS: &[&str] = &["ReconciliationDiffers", "ReconciliationMissing"];

#[tokio::test]
#[ignore = "takes minutes; run by scripts/alert-drill"]
async fn drill() {
    let stores = Stores::start().await;
    let settings = stores.fleet().with_payments();
    let mut fleet = settings.start(1, 0).await;
    let wechat = Game::of(&fleet.apis[0], &fleet.simulator);
    let no_bills = json!({"outage": "http502", "api": "pay_bill"});
    wechat.faults(no_bills).await;
    fleet.add_workers().await;
    let mut drill = Drill::of(fleet, ALERTS).await;
    let mut tables = PgConnection::connect(stores.database.url()).await.unwrap();

    let fault = drill
        .fault(
            "payments arrive, and WeChat provides no bill from the first day on",
            &["ReconciliationMissing"],
        )
        .await;
    let order = drill.order_and_pay().await;
    drill.order_and_pay().await;
    drill.fires(&fault).await;
    drill.game.clear_faults().await;
    let at_once = json!({"billsAtOnce": true});
    drill.game.set("pay/settings", at_once).await;
    // Also the days before, which the service would retry later by itself.
    for days_ago in 0..=4 {
        compare(&drill, days_ago, 0).await;
    }
    drill.ends(fault).await;

    let fault = drill
        .fault(
            "an order was modified directly in the database",
            &["ReconciliationDiffers"],
        )
        .await;
    add_to_price(&mut tables, &order, 1).await;
    compare(&drill, 0, 1).await;
    drill.fires(&fault).await;
    add_to_price(&mut tables, &order, -1).await;
    compare(&drill, 0, 0).await;
    drill.ends(fault).await;

    let fault = drill
        .fault(
            "the last comparison was 31 hours ago",
            &["ReconciliationMissing"],
        )
        .await;
    let back = "UPDATE reconciliations SET at = at - 31 * 3600 * 1000";
    sqlx::query(back).execute(&mut tables).await.unwrap();
    drill.fires(&fault).await;
    compare(&drill, 0, 0).await;
    drill.ends(fault).await;

    drill.finish();
}

async fn add_to_price(tables: &mut PgConnection, order: &str, fen: i64) {
    let change = "UPDATE orders SET total_fee = total_fee + $1 WHERE id = $2";
    let change = sqlx::query(change).bind(fen).bind(order);
    assert_eq!(change.execute(tables).await.unwrap().rows_affected(), 1);
}

/// Reconciles a day on the command line and expects this number of differences.
async fn compare(drill: &Drill, days_ago: i64, differences: usize) {
    let day = beijing_day(Timestamp::now()).saturating_sub(days_ago.days());
    let command = drill.fleet.settings.command("orders");
    let command = command.arg("reconcile").arg(day.to_string()).arg("--again");
    let compared = command.run().await;
    assert_eq!(compared.status.success(), differences == 0, "{compared:?}");
    let message = format!("{differences} differences");
    let errors = String::from_utf8(compared.stderr).unwrap();
    assert!(differences == 0 || errors.contains(&message), "{errors}");
}
