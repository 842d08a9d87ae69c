//! The lifecycle of orders.

use serde_json::json;

use super::merchant::{Merchant, order};

const DAY: i64 = 24 * 3600;

#[tokio::test]
async fn order_returns_a_prepay_id_and_can_be_queried() {
    let merchant = Merchant::start().await;
    let prepay = merchant.order(&order("T-000001", 648)).await.ok();
    let id = prepay["prepay_id"].as_str().unwrap();
    assert!(id.len() == 36 && id.starts_with("wx"), "{id}");
    let queried = merchant.query("T-000001").await.ok();
    assert_eq!(
        queried,
        json!({
            "amount": {"payer_currency": "CNY", "total": 648},
            "appid": "wx0123456789abcdef",
            "mchid": "1900012345",
            "out_trade_no": "T-000001",
            "promotion_detail": [],
            "scene_info": {"device_id": ""},
            "trade_state": "NOTPAY",
            "trade_state_desc": "订单未支付",
        })
    );
}

#[tokio::test]
async fn repeated_order_is_idempotent() {
    let merchant = Merchant::start().await;
    let first = merchant.order(&order("T-000001", 648)).await.ok();
    assert_eq!(merchant.order(&order("T-000001", 648)).await.ok(), first);
    merchant.settings(r#"{"newPrepayIds":true}"#).await;
    let second = merchant.order(&order("T-000001", 648)).await.ok();
    assert_ne!(second, first);
    let superseded = format!("/prepay/{}/pay", first["prepay_id"].as_str().unwrap());
    assert_eq!(merchant.try_control(&superseded, "").await.0, 404);
}

#[tokio::test]
async fn reused_order_number_is_rejected() {
    let merchant = Merchant::start().await;
    merchant.order(&order("T-000001", 648)).await.ok();
    let other = order("T-000001", 649);
    let reply = merchant.order(&other).await;
    assert_eq!(reply.error(), (403, "OUT_TRADE_NO_USED"));
    merchant
        .settings(r#"{"duplicateError":"invalidRequest"}"#)
        .await;
    let reply = merchant.order(&other).await;
    assert_eq!(reply.error(), (400, "INVALID_REQUEST"));
    assert!(
        reply.headers["request-id"]
            .to_str()
            .unwrap()
            .ends_with("-268498688")
    );
}

#[tokio::test]
async fn paid_order_has_all_fields_and_cannot_be_closed() {
    let merchant = Merchant::start().await;
    let transaction = merchant.paid("T-000001", 648).await;
    assert!(transaction.len() == 28 && transaction.starts_with("4200"));
    let queried = merchant.query("T-000001").await.ok();
    assert_eq!(queried["trade_state"], "SUCCESS");
    assert_eq!(queried["transaction_id"], transaction);
    assert_eq!(queried["attach"], "player=42");
    assert_eq!(queried["amount"]["payer_total"], 648);
    assert!(
        queried["success_time"]
            .as_str()
            .unwrap()
            .ends_with("+08:00")
    );
    let by_id = format!("/v3/pay/transactions/id/{transaction}?mchid=1900012345");
    assert_eq!(merchant.get(&by_id).await.ok(), queried);
    let again = merchant.order(&order("T-000001", 648)).await;
    assert_eq!(again.error(), (400, "ORDERPAID"));
    merchant.settings(r#"{"orderPaidCode":"ORDER_PAID"}"#).await;
    assert_eq!(
        merchant.close("T-000001").await.error(),
        (400, "ORDER_PAID")
    );
}

#[tokio::test]
async fn close_is_final_and_idempotent() {
    let merchant = Merchant::start().await;
    merchant.order(&order("T-000001", 648)).await.ok();
    for _ in 0..2 {
        let closed = merchant.close("T-000001").await;
        assert_eq!((closed.status, closed.bytes.len()), (204, 0));
    }
    let queried = merchant.query("T-000001").await.ok();
    assert_eq!(queried["trade_state"], "CLOSED");
    let again = merchant.order(&order("T-000001", 648)).await;
    assert_eq!(again.error(), (400, "ORDER_CLOSED"));
    assert_eq!(
        merchant.try_control("/orders/T-000001/pay", "").await.0,
        409
    );
}

#[tokio::test]
async fn closing_an_unknown_number_blocks_it() {
    let merchant = Merchant::start().await;
    assert_eq!(merchant.close("T-000001").await.status, 204);
    assert_eq!(
        merchant.query("T-000001").await.error(),
        (404, "ORDER_NOT_EXIST")
    );
    let reply = merchant.order(&order("T-000001", 648)).await;
    assert_eq!(reply.error(), (400, "INVALID_REQUEST"));
}

#[tokio::test]
async fn prepay_ids_payments_and_orders_expire() {
    let mut merchant = Merchant::start().await;
    let first = merchant.order(&order("T-000001", 648)).await.ok();
    let mut short = order("T-000002", 648);
    // In the past: silently moved to a minute from now.
    short["time_expire"] = json!("2020-01-01T00:00:00+08:00");
    merchant.order(&short).await.ok();

    merchant.move_clocks(70).await;
    assert_eq!(
        merchant.try_control("/orders/T-000002/pay", "").await.0,
        409
    );
    assert_eq!(
        merchant.query("T-000002").await.ok()["trade_state"],
        "NOTPAY"
    );

    merchant.move_clocks(2 * 3600 + 1).await;
    let old = format!("/prepay/{}/pay", first["prepay_id"].as_str().unwrap());
    assert_eq!(merchant.try_control(&old, "").await.0, 409);
    let second = merchant.order(&order("T-000001", 648)).await.ok();
    assert_ne!(second, first);

    merchant.move_clocks(7 * DAY + 1).await;
    assert_eq!(
        merchant.query("T-000001").await.ok()["trade_state"],
        "CLOSED"
    );
}
