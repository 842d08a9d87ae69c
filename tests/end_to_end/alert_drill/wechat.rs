//! WeChat's platform refuses us: for the secret, the token, the quota, or it gives no new token.

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
#[ignore = "takes minutes: scripts/alert-drill runs it"]
async fn drill() {
    let stores = Stores::start().await;
    let fleet = stores
        .fleet()
        .with_payments()
        // So that orders need the access token, and each does.
        .env("AVALON_RISK__ORDERS", "observe")
        .env("AVALON_RISK__CACHE", "1s")
        .start(1, 1)
        .await;
    let mut drill = Drill::of(fleet, ALERTS).await;

    let fault = drill
        .fault(
            "WeChat answers that the app secret is wrong",
            &["WechatMisconfigured"],
        )
        .await;
    drill.sign_in("sim-error-40125").await;
    drill.fires(&fault).await;
    drill.ends(fault).await;

    let fault = drill
        .fault(
            "somebody else renews the access token by force, again and again",
            &["WechatTokenRefused"],
        )
        .await;
    // The first order fetches a token, and each after it finds that it is good no more.
    for _ in 0..7 {
        drill.order().await;
        drill.game.simulator("tokens/invalidate", json!({})).await;
        sleep(Duration::from_millis(1100)).await;
    }
    drill.fires(&fault).await;
    drill.ends(fault).await;

    let fault = drill
        .fault("the quota of the minute is used up", &["WechatRateLimited"])
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

/// Of two hours of a token's life the drill waits for the last minutes only.
async fn old_token(drill: &mut Drill) {
    let fault = drill
        .fault(
            "WeChat gives no new access token, and the one in use comes to its end",
            &["WechatTokenOld"],
        )
        .await;
    let life = |seconds: Option<u32>| json!({ "tokenLifeSeconds": seconds });
    // Renewed every fifteen seconds it would never be older than 6,995.
    drill.game.set("settings", life(Some(220))).await;
    drill.order().await;
    let none = json!({"errorRate": 1, "errcode": -1, "api": "stable_token"});
    drill.game.faults(none).await;
    for _ in 0..20 {
        drill.order().await;
        sleep(Duration::from_secs(1)).await;
    }
    drill.fires(&fault).await;
    drill.game.good_weather().await;
    drill.game.set("settings", life(None)).await;
    // The first of these finds the old token good still and has it renewed.
    for _ in 0..3 {
        sleep(Duration::from_secs(2)).await;
        drill.order().await;
    }
    drill.ends(fault).await;
}
