//! WeChat's platform API rejects us: wrong secret, invalid token, exhausted quota, or no new token.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::harness::{Drill, Stores};

pub(super) const ALERTS: &[&str] = &[
    "WechatMisconfigured",
    "WechatRateLimited",
    "WechatTokenOld",
    "WechatTokenRefused",
];

#[tokio::test]
#[ignore = "takes minutes; run by scripts/alert-drill"]
async fn drill() {
    let stores = Stores::start().await;
    let fleet = stores
        .fleet()
        .with_payments()
        // Makes every order need the access token.
        .env("AVALON_RISK__ORDERS", "observe")
        .env("AVALON_RISK__CACHE", "1s")
        .start(1, 1)
        .await;
    let mut drill = Drill::of(fleet, ALERTS).await;

    let fault = drill
        .fault("WeChat rejects the app secret", &["WechatMisconfigured"])
        .await;
    drill.sign_in("sim-error-40125").await;
    drill.fires(&fault).await;
    drill.ends(fault).await;

    let fault = drill
        .fault(
            "another system repeatedly force-renews the access token",
            &["WechatTokenRefused"],
        )
        .await;
    // The first order fetches a token, and each later one finds it invalidated.
    for _ in 0..7 {
        drill.order().await;
        drill.game.simulator("tokens/invalidate", json!({})).await;
        sleep(Duration::from_millis(1100)).await;
    }
    drill.fires(&fault).await;
    drill.ends(fault).await;

    let fault = drill
        .fault("the quota per minute is exhausted", &["WechatRateLimited"])
        .await;
    let quota = |quota: Option<u32>| json!({ "quotaPerMinute": quota });
    drill.game.set("settings", quota(Some(1))).await;
    for _ in 0..8 {
        drill.sign_ins(1).await;
        sleep(Duration::from_millis(300)).await;
    }
    drill.fires(&fault).await;
    drill.game.set("settings", quota(None)).await;
    drill.ends(fault).await;

    old_token(&mut drill).await;
    drill.finish();
}

/// A token lives two hours; the drill shortens that to its last minutes.
async fn old_token(drill: &mut Drill) {
    let fault = drill
        .fault(
            "WeChat issues no new access token, and the current one expires",
            &["WechatTokenOld"],
        )
        .await;
    let life = |seconds: Option<u32>| json!({ "tokenLifeSeconds": seconds });
    // Shorter, and renewal would keep its age at 6,995 s or less.
    drill.game.set("settings", life(Some(220))).await;
    drill.order().await;
    let none = json!({"errorRate": 1, "errcode": -1, "api": "stable_token"});
    drill.game.faults(none).await;
    for _ in 0..20 {
        drill.order().await;
        sleep(Duration::from_secs(1)).await;
    }
    drill.fires(&fault).await;
    drill.game.clear_faults().await;
    drill.game.set("settings", life(None)).await;
    // The first of these still uses the old token and triggers its renewal.
    for _ in 0..3 {
        sleep(Duration::from_secs(2)).await;
        drill.order().await;
    }
    drill.ends(fault).await;
}
