//! The payment sheet: how it ends, and what the server learns.

use serde_json::json;

use super::app::{App, client_code};
use super::inbox::Inbox;

async fn plain(inbox: &Inbox) -> App {
    let app = App::start(Some(&inbox.url)).await;
    app.put("/push-settings", json!({"encryption": "plain"}))
        .await;
    app
}

#[tokio::test]
async fn paid_items_are_pushed_and_delivered() {
    let inbox = Inbox::start(&[]).await;
    let app = plain(&inbox).await;
    assert_eq!(app.query("T1", 2).await["errcode"], 90019);
    assert_eq!(app.code(&App::item_order("T1"), json!({})).await, 0);
    let push = inbox.wait(1).await.remove(0);
    assert_eq!(
        push.json()["Event"],
        "minigame_game_pay_goods_deliver_notify"
    );
    let payload = push.payload();
    assert_eq!(payload["OpenId"], app.openid.as_str());
    assert_eq!(payload["GoodsInfo"]["OrigPrice"], 1200);
    assert_eq!(payload["GoodsInfo"]["Attach"], "avalon");
    app.delivered("T1").await;
    let order = app.query("T1", 2).await;
    assert_eq!(
        (&order["pay_state"], &order["deliver_state"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(
        order["transaction_id"],
        payload["WeChatPayInfo"]["TransactionId"]
    );
    // As coins it is unknown.
    assert_eq!(app.query("T1", 1).await["errcode"], 90019);
}

#[tokio::test]
async fn prices_may_be_those_of_one_piece() {
    let inbox = Inbox::start(&[]).await;
    let app = plain(&inbox).await;
    app.put("/settings", json!({"pricesPerPiece": true})).await;
    assert_eq!(app.code(&App::item_order("T1"), json!({})).await, 0);
    let payload = inbox.wait(1).await[0].payload();
    assert_eq!(payload["GoodsInfo"]["OrigPrice"], 600);
}

#[tokio::test]
async fn cancelled_order_can_be_paid_later_with_the_same_text() {
    let app = App::start(None).await;
    let order = App::item_order("T1");
    assert_eq!(app.code(&order, json!({"outcome": "cancel"})).await, -2);
    assert_eq!(app.query("T1", 2).await["pay_state"], 1);
    let mut other = order.clone();
    other["buyQuantity"] = json!(1);
    assert_eq!(app.code(&other, json!({})).await, -15003);
    assert_eq!(app.code(&order, json!({})).await, 0);
    assert_eq!(app.code(&order, json!({})).await, -15007);
}

#[tokio::test]
async fn failed_although_paid_is_pushed_and_answered_as_paid() {
    let inbox = Inbox::start(&[]).await;
    let app = plain(&inbox).await;
    let code = app
        .code(&App::item_order("T1"), json!({"outcome": "failThoughPaid"}))
        .await;
    assert_eq!(code, -1);
    assert_eq!(app.query("T1", 2).await["pay_state"], 2);
    inbox.wait(1).await;
}

#[tokio::test]
async fn push_may_come_first_or_never() {
    let inbox = Inbox::start(&[]).await;
    let app = plain(&inbox).await;
    assert_eq!(
        app.code(&App::item_order("T1"), json!({"notify": "first"}))
            .await,
        0
    );
    assert_eq!(inbox.received().len(), 1, "before the client's answer");
    assert_eq!(
        app.code(&App::item_order("T2"), json!({"notify": "never"}))
            .await,
        0
    );
    let pushes = app.sim.get("/vpay/pushes?outTradeNo=T2").await;
    assert_eq!(pushes["pushes"], json!([]));
    assert_eq!(app.query("T2", 2).await["pay_state"], 2);
}

#[tokio::test]
async fn sheet_stays_open_until_it_is_finished() {
    let app = App::start(None).await;
    let opened = app
        .buy(&App::item_order("T1"), json!({"outcome": "open"}))
        .await;
    assert_eq!(opened["sheet"], "open");
    assert_eq!(app.code(&App::item_order("T2"), json!({})).await, 2);
    let path = format!("/sheets/{}/finish", app.openid);
    let finished = app.post(&path, json!({"outcome": "succeed"})).await;
    assert_eq!(client_code(&finished), 0);
    assert_eq!(app.code(&App::item_order("T2"), json!({})).await, 0);
}

#[tokio::test]
async fn silent_sheet_pays_without_an_answer() {
    let app = App::start(None).await;
    let call = app.client_call(&App::item_order("T1"), json!({"outcome": "silent"}));
    let url = format!("{}/_sim/vpay/request-midas-payment-game-item", app.sim.base);
    let request = app.sim.http.post(url).body(call.to_string());
    let timeout = std::time::Duration::from_millis(300);
    assert!(
        request
            .timeout(timeout)
            .send()
            .await
            .unwrap_err()
            .is_timeout()
    );
    assert_eq!(app.query("T1", 2).await["pay_state"], 2);
}

#[tokio::test]
async fn apple_payments_have_no_numbers_of_wechat_pay() {
    let inbox = Inbox::start(&[]).await;
    let app = plain(&inbox).await;
    let ios = json!({"device": {"platform": "ios"}});
    assert_eq!(app.code(&App::item_order("T1"), ios).await, 0);
    assert!(
        inbox.wait(1).await[0]
            .payload()
            .get("WeChatPayInfo")
            .is_none()
    );
    let order = app.query("T1", 2).await;
    assert_eq!(
        (&order["pay_state"], order.get("transaction_id")),
        (&json!(2), None)
    );
}

#[tokio::test]
async fn order_without_a_number_gets_one_with_an_underscore() {
    let app = App::start(None).await;
    let mut order = App::coin_order("C1");
    order.as_object_mut().unwrap().remove("outTradeNo");
    let paid = app.buy(&order, json!({})).await;
    assert!(
        paid["outTradeNo"].as_str().unwrap().starts_with('_'),
        "{paid}"
    );
}

#[tokio::test]
async fn session_key_before_needs_a_new_signature_only() {
    let mut app = App::start(None).await;
    app.sim
        .put("/settings", r#"{"sessionKeyRotation":"always"}"#)
        .await;
    let order = App::item_order("T1");
    let before = app.client_call(&order, json!({}));
    app.sign_in().await;
    let answer = app
        .post("/request-midas-payment-game-item", before.clone())
        .await;
    assert_eq!(client_code(&answer), -15015);
    let after = app.client_call(&order, json!({}));
    assert_eq!(after["paySig"], before["paySig"]);
    assert_ne!(after["signature"], before["signature"]);
    assert_eq!(app.code(&order, json!({})).await, 0);
}
