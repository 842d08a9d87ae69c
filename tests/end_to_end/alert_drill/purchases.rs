//! WeChat Pay fails, its responses cannot be verified, or its certificate expires.

use std::time::Duration;

use avalon_simulator::PayCredentials;
use avalon_test_support::eventually_eq;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::time::sleep;

use super::harness::{Drill, Stores};

const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) const ALERTS: &[&str] = &[
    "CertificateExpires",
    "PurchasesFail",
    "PurchasesFailSlowly",
    "WechatAnswersUnverified",
    "WechatFails",
];

#[tokio::test]
#[ignore = "takes minutes; run by scripts/alert-drill"]
async fn drill() {
    let stores = Stores::start().await;
    let fleet = stores
        .fleet()
        .with_payments()
        // WeChat signs with its certificates alone.
        .env("AVALON_PAY__PLATFORM_PUBLIC_KEY", "")
        .env("AVALON_PAY__PLATFORM_PUBLIC_KEY_ID", "")
        .start(1, 1)
        .await;
    let mut drill = Drill::of(fleet, ALERTS).await;

    let fault = drill
        .fault(
            "WeChat Pay responds to every call with HTTP 502",
            &["WechatFails", "PurchasesFail", "PurchasesFailSlowly"],
        )
        .await;
    let outage = json!({"outage": "http502", "api": "pay"});
    drill.game.faults(outage).await;
    for _ in 0..12 {
        drill.order_async().await;
        sleep(Duration::from_secs(1)).await;
    }
    drill.fires(&fault).await;
    drill.game.clear_faults().await;
    for _ in 0..10 {
        drill.order_and_pay().await;
        sleep(Duration::from_secs(1)).await;
    }
    drill.ends(fault).await;

    let fault = drill
        .fault(
            "responses are not signed by WeChat Pay",
            &["WechatAnswersUnverified"],
        )
        .await;
    let forged = |responses: u32| json!({ "signTestResponses": responses });
    drill.game.set("pay/settings", forged(12)).await;
    for _ in 0..4 {
        drill.order_async().await;
    }
    drill.fires(&fault).await;
    drill.game.set("pay/settings", forged(0)).await;
    drill.ends(fault).await;

    certificate(&mut drill).await;
    drill.finish();
}

/// Processes fetch certificates at start and every hour, so the drill restarts them.
async fn certificate(drill: &mut Drill) {
    let fault = drill
        .fault(
            "WeChat's certificate expires in six days, and there is no other",
            &["CertificateExpires"],
        )
        .await;
    let soon = Timestamp::now() + SignedDuration::from_hours(6 * 24);
    let end = json!({"olderCertificateExpires": soon.to_string()});
    drill.game.set("pay/settings", end).await;
    restart(drill).await;
    drill.fires(&fault).await;
    let announced = json!({"stage": "announced"});
    drill
        .game
        .simulator("pay/certificates/rotate", announced)
        .await;
    restart(drill).await;
    // Until then a process that has just started knows no certificate at all.
    let newer = format!("platform_{}", PayCredentials::TEST.platform_serials[1]);
    for ops in [&drill.fleet.apis[0].ops, &drill.fleet.workers[0].ops] {
        eventually_eq(TIMEOUT, true, async || {
            let page = drill.game.client.get(format!("{ops}/metrics"));
            let page = page.send().await.unwrap().text().await.unwrap();
            page.contains(&newer)
        })
        .await;
    }
    drill.ends(fault).await;
}

async fn restart(drill: &mut Drill) {
    drill.fleet.apis[0].restart().await;
    drill.fleet.workers[0].restart().await;
}
