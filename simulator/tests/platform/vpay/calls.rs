//! The five calls and their ledgers.

use serde_json::json;

use super::app::App;

const PAY: &str = "/wxa/game/pay";
const CANCEL: &str = "/wxa/game/cancelpay";
const PRESENT: &str = "/wxa/game/present";

#[tokio::test]
async fn balance_shows_coins_and_sums() {
    let app = App::start(None).await;
    app.give(r#"{"bought":100,"granted":10}"#).await;
    let balance = app.balance().await;
    for (field, value) in [
        ("errcode", 0),
        ("balance", 110),
        ("present_balance", 10),
        ("sum_save", 100),
        ("sum_present", 10),
        ("sum_balance", 110),
        ("sum_cost", 0),
        ("first_save", 1),
    ] {
        assert_eq!(balance[field], value, "{field}");
    }
    // The recharge centre and the sandbox have balances of their own.
    for extra in [json!({"coin_type": 1}), json!({"env": 1})] {
        let other = app.call("/wxa/game/getbalance", extra).await;
        assert_eq!(
            (&other["errcode"], &other["balance"]),
            (&json!(0), &json!(0))
        );
    }
}

#[tokio::test]
async fn spend_takes_granted_coins_first() {
    let app = App::start(None).await;
    app.give(r#"{"bought":100,"granted":10}"#).await;
    let spend = json!({"amount": 60, "bill_no": "spend-1", "payitem": "p", "remark": "新手礼包"});
    let answer = app.call(PAY, spend).await;
    assert_eq!(answer["errcode"], 0);
    assert_eq!(
        (&answer["balance"], &answer["used_present_amount"]),
        (&json!(50), &json!(10))
    );
    assert_eq!(answer["bill_no"], "spend-1");
    app.put("/settings", json!({"grantedFirst": false})).await;
    app.give(r#"{"granted":10}"#).await;
    let answer = app
        .call(PAY, json!({"amount": 55, "bill_no": "spend-2"}))
        .await;
    assert_eq!(answer["used_present_amount"], 5);
}

#[tokio::test]
async fn repeated_bill_number_is_applied_once() {
    let app = App::start(None).await;
    app.give(r#"{"bought":100}"#).await;
    let spend = json!({"amount": 60, "bill_no": "spend-1"});
    assert_eq!(app.errcode(PAY, spend.clone()).await, 0);
    assert_eq!(app.errcode(PAY, spend).await, 90012);
    // WeChat does not compare what the number was for.
    let other = json!({"amount": 1, "bill_no": "spend-1"});
    assert_eq!(app.errcode(PAY, other.clone()).await, 90012);
    assert_eq!(app.errcode(PRESENT, other).await, 90012);
    assert_eq!(app.balance().await["balance"], 40);
    let sandbox = json!({"amount": 1, "bill_no": "spend-1", "env": 1});
    assert_eq!(app.errcode(PRESENT, sandbox).await, 0);
}

#[tokio::test]
async fn insufficient_balance_uses_no_number() {
    let app = App::start(None).await;
    app.give(r#"{"bought":59}"#).await;
    let spend = json!({"amount": 60, "bill_no": "spend-1"});
    assert_eq!(app.errcode(PAY, spend.clone()).await, 90013);
    app.give(r#"{"bought":1}"#).await;
    assert_eq!(app.errcode(PAY, spend).await, 0);
}

#[tokio::test]
async fn spend_is_given_back_in_parts_up_to_its_amount() {
    let app = App::start(None).await;
    app.give(r#"{"bought":50,"granted":10}"#).await;
    let spend = json!({"amount": 60, "bill_no": "spend-1"});
    assert_eq!(app.errcode(PAY, spend).await, 0);
    let back = async |number: &str, amount: i64| {
        let extra = json!({"amount": amount, "bill_no": number, "pay_bill_no": "spend-1"});
        app.errcode(CANCEL, extra).await
    };
    assert_eq!(back("back-1", 20).await, 0);
    assert_eq!(back("back-1", 20).await, 90012);
    assert_eq!(back("back-2", 41).await, 90018);
    assert_eq!(back("back-2", 40).await, 0);
    assert_eq!(back("back-3", 1).await, 90018);
    let unknown = json!({"amount": 1, "bill_no": "back-4", "pay_bill_no": "spend-2"});
    assert_eq!(app.errcode(CANCEL, unknown).await, 90000);
    let balance = app.balance().await;
    assert_eq!(
        (&balance["balance"], &balance["present_balance"]),
        (&json!(60), &json!(10))
    );
    assert_eq!(balance["sum_cost"], 0);
}

#[tokio::test]
async fn sums_only_grow_if_set_so() {
    let app = App::start(None).await;
    app.put("/settings", json!({"cancelLowersCost": false}))
        .await;
    app.give(r#"{"bought":60}"#).await;
    app.call(PAY, json!({"amount": 60, "bill_no": "spend-1"}))
        .await;
    let back = json!({"amount": 20, "bill_no": "back-1", "pay_bill_no": "spend-1"});
    assert_eq!(app.errcode(CANCEL, back).await, 0);
    let balance = app.balance().await;
    assert_eq!(
        (&balance["balance"], &balance["sum_cost"]),
        (&json!(20), &json!(60))
    );
}

#[tokio::test]
async fn granted_coins_are_added() {
    let app = App::start(None).await;
    let answer = app
        .call(PRESENT, json!({"amount": 5, "bill_no": "gift-1"}))
        .await;
    assert_eq!(
        (&answer["balance"], &answer["bill_no"]),
        (&json!(5), &json!("gift-1"))
    );
    assert_eq!(app.balance().await["sum_present"], 5);
}
