//! WeChat's bills are not compared with our orders, or differ from them.

use avalon_core::payments::reconciliation::beijing_day;
use avalon_test_support::{FleetSettings, PostgresServer, RedisServer, TestDatabase};
use avalon_tests::Game;
use jiff::Timestamp;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::scene::Drill;

pub(super) const ALERTS: &[&str] = &["ReconciliationDiffers", "ReconciliationMissing"];

#[tokio::test]
#[ignore = "takes minutes: scripts/alert-drill runs it"]
async fn drill() {
    let postgres = PostgresServer::start().await;
    let database = TestDatabase::on_postgres(&postgres.url()).await;
    let redis = RedisServer::start().await;
    let settings = FleetSettings::new(database.url(), &redis.url()).with_payments();
    let mut fleet = settings.start(1, 0).await;
    let wechat = Game::of(&fleet.apis[0], &fleet.simulator);
    let no_bills = json!({"outage": "http502", "api": "pay_bill"});
    wechat.faults(no_bills).await;
    fleet.add_workers().await;
    let mut drill = Drill::of(fleet, ALERTS).await;
    let mut tables = PgConnection::connect(database.url()).await.unwrap();

    let fault = drill
        .fault(
            "money comes, and WeChat gives no bill from the first day on",
            &["ReconciliationMissing"],
        )
        .await;
    let order = drill.order_and_pay().await;
    drill.order_and_pay().await;
    drill.fires(&fault).await;
    drill.game.good_weather().await;
    let at_once = json!({"billsAtOnce": true});
    drill.game.set("pay/settings", at_once).await;
    compare(&drill).await;
    drill.ends(fault).await;

    let fault = drill
        .fault(
            "an order was changed in the database by hand",
            &["ReconciliationDiffers"],
        )
        .await;
    let change = "UPDATE orders SET total_fee = total_fee + $1 WHERE id = $2";
    for fen in [1_i64, -1] {
        let change = sqlx::query(change).bind(fen).bind(&order);
        assert_eq!(
            change.execute(&mut tables).await.unwrap().rows_affected(),
            1
        );
        compare(&drill).await;
        if fen > 0 {
            drill.fires(&fault).await;
        }
    }
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
    compare(&drill).await;
    drill.ends(fault).await;

    drill.is_complete();
}

/// Compares the bill of today, as an operator does.
async fn compare(drill: &Drill) {
    let day = beijing_day(Timestamp::now()).to_string();
    let command = drill.fleet.settings.command("orders");
    let command = command.arg("reconcile").arg(day).arg("--again");
    let compared = command.run().await;
    assert!(compared.status.success(), "{compared:?}");
}
