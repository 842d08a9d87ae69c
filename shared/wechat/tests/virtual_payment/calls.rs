//! The five calls, their outcomes and errors.

use avalon_wechat::virtual_payment::{
    Applied, Caller, CoinKind, Coins, Env, OrderKind, OrderQuery, Present, SpendCancellation,
    TradeNo, VirtualPaymentCode, VirtualPaymentError,
};
use avalon_wechat::{Api, ErrorClass, OpenId};

use crate::platform::{Platform, amount, bill, spend};

#[tokio::test]
async fn coins_are_granted_spent_and_given_back() {
    let platform = Platform::start().await;
    let (client, caller) = (&platform.client, platform.caller());
    let gift = bill("gift-1");
    let present = Present {
        bill_no: &gift,
        amount: amount(10),
    };
    let Applied::Now(granted) = client.present_coins(&caller, &present).await.unwrap() else {
        panic!("granted before");
    };
    assert_eq!(granted.balance.get(), 10);
    platform.give(100).await;
    let number = bill("spend-1");
    let spent = client
        .spend_coins(&caller, &spend(&number, 60))
        .await
        .unwrap();
    let Applied::Now(spent) = spent else {
        panic!("spent before");
    };
    assert_eq!(
        (spent.balance.get(), spent.used_present.map(Coins::get)),
        (50, Some(10))
    );
    let back = SpendCancellation {
        bill_no: &bill("back-1"),
        spend: &number,
        amount: amount(20),
    };
    let cancelled = client.cancel_spend(&caller, &back).await.unwrap();
    assert!(matches!(cancelled, Applied::Now(_)));
    let balance = client.coin_balance(&caller, CoinKind::Game).await.unwrap();
    assert_eq!(
        (balance.balance.get(), balance.first_save),
        (70, Some(true))
    );
    assert_eq!(balance.sum_cost.map(Coins::get), Some(40));
    let recharge = client
        .coin_balance(&caller, CoinKind::RechargeCentre)
        .await
        .unwrap();
    assert_eq!(recharge.balance.get(), 0);
}

#[tokio::test]
async fn repeated_number_is_an_outcome_with_what_was_asked() {
    let platform = Platform::start().await;
    platform.give(100).await;
    let (client, caller) = (&platform.client, platform.caller());
    let number = bill("spend-1");
    client
        .spend_coins(&caller, &spend(&number, 60))
        .await
        .unwrap();
    let again = client
        .spend_coins(&caller, &spend(&number, 60))
        .await
        .unwrap();
    let Applied::Before(repeat) = again else {
        panic!("spent twice");
    };
    assert!(repeat.agrees_with(&platform.player.open_id, amount(60)));
    assert!(!repeat.agrees_with(&OpenId::new("another"), amount(60)));
    // Another amount under the number is answered alike, so the caller compares with its record.
    let other = client
        .spend_coins(&caller, &spend(&number, 1))
        .await
        .unwrap();
    let Applied::Before(other) = other else {
        panic!("spent");
    };
    assert!(!other.agrees_with(&platform.player.open_id, amount(60)));
    assert_eq!(platform.balance().await, 40);
}

#[tokio::test]
async fn insufficient_coins_are_refused() {
    let platform = Platform::start().await;
    let number = bill("spend-1");
    let refused = platform
        .client
        .spend_coins(&platform.caller(), &spend(&number, 60))
        .await;
    let error = refused.unwrap_err();
    assert_eq!(error.code(), Some(VirtualPaymentCode::InsufficientCoins));
    assert_eq!(error.class(), ErrorClass::Permanent);
    assert!(!error.may_have_taken_effect());
}

#[tokio::test]
async fn missing_session_key_sends_nothing() {
    let platform = Platform::start().await;
    let caller = Caller {
        session_key: None,
        ..platform.caller()
    };
    let number = bill("spend-1");
    let error = platform
        .client
        .spend_coins(&caller, &spend(&number, 1))
        .await
        .unwrap_err();
    let api = Api::VpaySpend;
    assert!(
        matches!(error, VirtualPaymentError::SignInAgain { api: at, code: None } if at == api),
        "{error:?}"
    );
    assert_eq!(platform.count("vpay_spend").await, 0);
}

#[tokio::test]
async fn dead_session_key_is_one_outcome_without_retries() {
    let mut platform = Platform::start().await;
    platform
        .put("/settings", r#"{"sessionKeyRotation":"always"}"#)
        .await;
    let old = platform.player.session_key.clone();
    platform.sign_in().await;
    let caller = Caller {
        session_key: Some(&old),
        ..platform.caller()
    };
    let number = bill("spend-1");
    for (calls, expired) in [(1, true), (2, false)] {
        let settings = format!(r#"{{"staleKeyIsExpired":{expired}}}"#);
        platform.put("/vpay/settings", &settings).await;
        let error = platform
            .client
            .spend_coins(&caller, &spend(&number, 1))
            .await
            .unwrap_err();
        assert!(matches!(
            error,
            VirtualPaymentError::SignInAgain { code: Some(_), .. }
        ));
        assert_eq!(error.class(), ErrorClass::SignInAgain);
        assert_eq!(platform.count("vpay_spend").await, calls);
    }
    // With the new key the same number is accepted.
    platform.give(1).await;
    let spent = platform
        .client
        .spend_coins(&platform.caller(), &spend(&number, 1))
        .await;
    assert!(matches!(spent.unwrap(), Applied::Now(_)));
}

#[tokio::test]
async fn environment_without_a_key_sends_nothing() {
    let mut keys = crate::platform::keys();
    keys.sandbox = None;
    let platform = Platform::with_keys(keys).await;
    let caller = Caller {
        env: Env::Sandbox,
        ..platform.caller()
    };
    let balance = platform.client.coin_balance(&caller, CoinKind::Game).await;
    let error = balance.unwrap_err();
    assert!(matches!(error, VirtualPaymentError::NoAppKey { .. }));
    assert_eq!(error.class(), ErrorClass::Misconfigured);
    assert_eq!(platform.count("vpay_balance").await, 0);
}

#[tokio::test]
async fn unknown_order_is_not_paid_so_far() {
    let platform = Platform::start().await;
    let query = OrderQuery {
        out_trade_no: &TradeNo::parse("T1").unwrap(),
        kind: OrderKind::Items,
    };
    let order = platform
        .client
        .query_order(&platform.caller(), &query)
        .await;
    assert_eq!(order.unwrap(), None);
}
