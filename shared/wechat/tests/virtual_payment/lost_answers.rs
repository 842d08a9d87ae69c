//! Calls that took effect although their answer was lost: the same number never applies twice.

use avalon_wechat::virtual_payment::{
    Applied, Present, RepeatedBill, SpendCancellation, VirtualPaymentError,
};
use avalon_wechat::{ErrorClass, WechatError};

use crate::platform::{Platform, amount, bill, spend};

const FAULTS: [&str; 2] = [
    r#""outage":"reset","outageAfter":true"#,
    r#""errcode":-1,"errorAfter":true"#,
];

/// What a repeat found: the number was applied before.
fn before<T>(applied: Applied<T>) -> RepeatedBill {
    match applied {
        Applied::Before(repeat) => repeat,
        Applied::Now(_) => panic!("applied twice"),
    }
}

fn check(error: &VirtualPaymentError) {
    assert!(error.may_have_taken_effect(), "{error}");
    assert_eq!(error.class(), ErrorClass::Retry);
    assert!(matches!(
        error,
        VirtualPaymentError::Call(WechatError::Transport { .. } | WechatError::Api { .. })
    ));
}

#[tokio::test]
async fn lost_answers_of_each_call_apply_nothing_twice() {
    for fault in FAULTS {
        let platform = Platform::start().await;
        platform.give(100).await;
        let (client, caller) = (&platform.client, platform.caller());
        let fail = async |api: &str| {
            platform
                .put("/faults", &format!(r#"{{{fault},"api":"{api}"}}"#))
                .await;
        };
        let recover = async || {
            platform.put("/faults", "{}").await;
        };

        let number = bill("spend-1");
        let spending = spend(&number, 60);
        fail("vpay_spend").await;
        check(&client.spend_coins(&caller, &spending).await.unwrap_err());
        recover().await;
        let repeat = before(client.spend_coins(&caller, &spending).await.unwrap());
        assert!(repeat.agrees_with(&platform.player.open_id, amount(60)));
        assert_eq!(platform.balance().await, 40, "{fault}");

        let back_number = bill("back-1");
        let back = SpendCancellation {
            bill_no: &back_number,
            spend: &number,
            amount: amount(20),
        };
        fail("vpay_cancel_spend").await;
        check(&client.cancel_spend(&caller, &back).await.unwrap_err());
        recover().await;
        before(client.cancel_spend(&caller, &back).await.unwrap());
        assert_eq!(platform.balance().await, 60, "{fault}");

        let gift_number = bill("gift-1");
        let gift = Present {
            bill_no: &gift_number,
            amount: amount(5),
        };
        fail("vpay_present").await;
        check(&client.present_coins(&caller, &gift).await.unwrap_err());
        recover().await;
        before(client.present_coins(&caller, &gift).await.unwrap());
        assert_eq!(platform.balance().await, 65, "{fault}");
    }
}

#[tokio::test]
async fn failure_before_the_effect_is_applied_by_the_repeat() {
    let platform = Platform::start().await;
    platform.give(100).await;
    let number = bill("spend-1");
    platform
        .put("/faults", r#"{"outage":"reset","api":"vpay_spend"}"#)
        .await;
    let lost = platform
        .client
        .spend_coins(&platform.caller(), &spend(&number, 60))
        .await;
    assert!(lost.unwrap_err().may_have_taken_effect());
    platform.put("/faults", "{}").await;
    let spent = platform
        .client
        .spend_coins(&platform.caller(), &spend(&number, 60))
        .await;
    assert!(matches!(spent.unwrap(), Applied::Now(_)));
    assert_eq!(platform.balance().await, 40);
}

/// The number loses its meaning after 48 hours, which is why no call may come later.
#[tokio::test]
async fn number_is_applied_again_after_48_hours() {
    let platform = Platform::start().await;
    platform.give(100).await;
    let number = bill("spend-1");
    let spent = async || {
        let caller = platform.caller();
        platform
            .client
            .spend_coins(&caller, &spend(&number, 30))
            .await
            .unwrap()
    };
    assert!(matches!(spent().await, Applied::Now(_)));
    platform
        .post("/vpay/clock/advance", r#"{"seconds":172740}"#)
        .await;
    assert!(matches!(spent().await, Applied::Before(_)));
    platform
        .post("/vpay/clock/advance", r#"{"seconds":61}"#)
        .await;
    assert!(matches!(spent().await, Applied::Now(_)));
}

#[tokio::test]
async fn circuit_opens_while_calls_get_no_answer() {
    let platform = Platform::start().await;
    platform
        .put("/faults", r#"{"outage":"reset","api":"vpay_balance"}"#)
        .await;
    let kind = avalon_wechat::virtual_payment::CoinKind::Game;
    let mut paused = false;
    for _ in 0..6 {
        let error = platform
            .client
            .coin_balance(&platform.caller(), kind)
            .await
            .unwrap_err();
        paused = matches!(error, VirtualPaymentError::Call(WechatError::Paused { .. }));
    }
    assert!(paused);
    let series = r#"avalon_wechat_circuit_open{api="vpay_balance"} 1"#;
    assert!(platform.metrics().contains(series));
}
