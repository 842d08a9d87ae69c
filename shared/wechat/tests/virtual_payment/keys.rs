//! AppKeys while they are replaced.

use avalon_wechat::ErrorClass;
use avalon_wechat::virtual_payment::{AppKeys, CoinKind, VirtualPaymentCode};

use crate::platform::{Platform, TEST, rotating};

fn production(current: &str, previous: Option<&str>) -> AppKeys {
    AppKeys {
        production: Some(rotating(current, previous)),
        sandbox: None,
    }
}

#[tokio::test]
async fn calls_work_before_and_after_wechat_switches_keys() {
    let platform = Platform::with_keys(production("the-new-key", Some(TEST.app_key))).await;
    let balance = async || {
        let caller = platform.caller();
        platform
            .client
            .coin_balance(&caller, CoinKind::Game)
            .await
            .map(|_| ())
    };
    // WeChat has the old key: refused once, then signed with the previous one.
    balance().await.unwrap();
    assert_eq!(platform.count("vpay_balance").await, 2);
    platform
        .put("/vpay/keys", r#"{"appKey":"the-new-key"}"#)
        .await;
    balance().await.unwrap();
    assert_eq!(platform.count("vpay_balance").await, 3);
}

#[tokio::test]
async fn wrong_app_key_is_a_misconfiguration() {
    for (previous, calls) in [(None, 1), (Some("also wrong"), 2)] {
        let platform = Platform::with_keys(production("wrong", previous)).await;
        let caller = platform.caller();
        let error = platform
            .client
            .coin_balance(&caller, CoinKind::Game)
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some(VirtualPaymentCode::PaySignature));
        assert_eq!(error.class(), ErrorClass::Misconfigured);
        assert_eq!(platform.count("vpay_balance").await, calls);
        let series = r#"avalon_wechat_errors_total{api="vpay_balance",code="90011"}"#;
        assert!(platform.metrics().contains(&format!("{series} {calls}")));
    }
}
