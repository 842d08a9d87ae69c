//! Orders of the store, and refunds.

use reqwest::Method;
use serde_json::json;

use super::app::App;
use super::inbox::Inbox;

async fn plain(inbox: &Inbox) -> App {
    let app = App::start(Some(&inbox.url)).await;
    app.put("/push-settings", json!({"encryption": "plain"}))
        .await;
    app
}

#[tokio::test]
async fn store_orders_begin_at_wechat() {
    let inbox = Inbox::start(&[]).await;
    let app = plain(&inbox).await;
    let stranger = format!("o{}", "x".repeat(27));
    let bought = json!({"openid": stranger, "productId": "gems-60", "notify": "first"});
    let order = app.post("/store-orders", bought).await;
    let number = order["outTradeNo"].as_str().unwrap();
    assert!(number.starts_with("_h5_"), "{number}");
    let push = inbox.received().remove(0);
    assert_eq!(push.json()["Event"], "minigame_h5_goods_deliver_notify");
    assert_eq!(push.payload()["GoodsInfo"]["OrderSource"], 2);
    assert_eq!(push.payload()["OpenId"], stranger.as_str());
    let test = json!({"openid": stranger, "productId": "gems-60", "test": true, "notify": "first"});
    app.post("/store-orders", test).await;
    assert_eq!(inbox.received()[1].payload()["GoodsInfo"]["OrderSource"], 3);
}

#[tokio::test]
async fn refunds_are_pushed_in_parts_up_to_the_price() {
    let inbox = Inbox::start(&[]).await;
    let app = plain(&inbox).await;
    assert_eq!(
        app.code(&App::item_order("T1"), json!({"notify": "never"}))
            .await,
        0
    );
    app.post(
        "/refunds",
        json!({"outTradeNo": "T1", "amount": 500, "source": 1}),
    )
    .await;
    let part = inbox.wait(1).await[0].payload();
    assert_eq!(
        (&part["RefundAmount"], &part["RefundSource"]),
        (&json!(500), &json!(1))
    );
    let refund = json!({"outTradeNo": "T1", "amount": 701}).to_string();
    let (status, _) = app
        .sim
        .control(Method::POST, "/vpay/refunds", &refund)
        .await;
    assert_eq!(status, 409);
    app.post("/refunds", json!({"outTradeNo": "T1", "unnamed": true}))
        .await;
    let rest = inbox.wait(2).await[1].payload();
    assert_eq!(
        (&rest["RefundAmount"], rest.get("OutTradeNo")),
        (&json!(700), None)
    );
    assert!(rest["WeChatPayInfo"]["TransactionId"].is_string());
    assert_ne!(part["RefundId"], rest["RefundId"]);
}

#[tokio::test]
async fn refund_of_an_unknown_order_is_pushed_too() {
    let inbox = Inbox::start(&[]).await;
    let app = plain(&inbox).await;
    app.post("/refunds", json!({"outTradeNo": "unknown", "amount": 1}))
        .await;
    assert_eq!(inbox.wait(1).await[0].payload()["OutTradeNo"], "unknown");
    assert_eq!(
        app.code(&App::item_order("T1"), json!({"outcome": "cancel"}))
            .await,
        -2
    );
    let unpaid = json!({"outTradeNo": "T1"}).to_string();
    let (status, _) = app
        .sim
        .control(Method::POST, "/vpay/refunds", &unpaid)
        .await;
    assert_eq!(status, 409);
}

#[tokio::test]
async fn begun_order_can_be_paid_without_its_sheet() {
    let app = App::start(None).await;
    assert_eq!(
        app.code(&App::item_order("T1"), json!({"outcome": "cancel"}))
            .await,
        -2
    );
    app.post("/orders/T1/pay", json!({})).await;
    assert_eq!(app.query("T1", 2).await["pay_state"], 2);
    let (status, _) = app
        .sim
        .control(Method::POST, "/vpay/orders/T1/pay", "")
        .await;
    assert_eq!(status, 409);
    let (status, _) = app
        .sim
        .control(Method::POST, "/vpay/orders/T9/pay", "")
        .await;
    assert_eq!(status, 404);
}
