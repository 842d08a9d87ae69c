//! Refunds: validation, outcomes and callbacks.

use std::time::Duration;

use serde_json::{Value, json};

use super::inbox::Inbox;
use super::merchant::{Merchant, Reply, refund};

async fn query(merchant: &Merchant, number: &str) -> Reply {
    let url = format!("/v3/refund/domestic/refunds/{number}");
    merchant.get(&url).await
}

async fn wait_for(merchant: &Merchant, number: &str, status: &str) -> Value {
    for _ in 0..400 {
        let refund = query(merchant, number).await.ok();
        if refund["status"] == status {
            return refund;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never {status}");
}

#[tokio::test]
async fn refund_is_accepted_then_succeeds_with_callback() {
    let merchant = Merchant::start().await;
    let inbox = Inbox::start(&[]).await;
    let transaction = merchant.paid("T-000001", 648).await;
    let mut body = refund("R-1", "T-000001", 300, 648);
    body["notify_url"] = json!(inbox.url);
    let accepted = merchant.refund(&body).await.ok();
    assert_eq!(accepted["status"], "PROCESSING");
    assert_eq!(accepted["transaction_id"], transaction);
    assert_eq!(accepted.get("success_time"), None);
    let id = accepted["refund_id"].as_str().unwrap();
    assert!(id.len() == 29 && id.starts_with("50"), "{id}");
    assert_eq!(
        merchant.query("T-000001").await.ok()["trade_state"],
        "REFUND"
    );

    let delivery = inbox.wait(1).await.remove(0);
    let envelope = delivery.envelope();
    assert_eq!(envelope["event_type"], "REFUND.SUCCESS");
    assert_eq!(envelope["resource"]["associated_data"], "refund");
    let plain = delivery.plain();
    assert_eq!(plain["refund_status"], "SUCCESS");
    assert_eq!(plain.get("status"), None);
    assert_eq!(plain["refund_id"], id);
    assert_eq!(
        plain["amount"],
        json!({"total": 648, "refund": 300, "payer_total": 648, "payer_refund": 300})
    );
    let done = query(&merchant, "R-1").await.ok();
    assert_eq!(done["status"], "SUCCESS");
    assert_eq!(done["success_time"], plain["success_time"]);
    let order = merchant.sim.get("/pay/orders/T-000001").await;
    assert_eq!(order["refunds"][0]["outRefundNo"], "R-1");
}

#[tokio::test]
async fn refund_number_is_idempotent() {
    let merchant = Merchant::start().await;
    merchant.paid("T-000001", 648).await;
    let body = refund("R-1", "T-000001", 300, 648);
    let first = merchant.refund(&body).await.ok();
    let again = merchant.refund(&body).await.ok();
    assert_eq!(again["refund_id"], first["refund_id"]);
    let other = merchant.refund(&refund("R-1", "T-000001", 301, 648)).await;
    assert_eq!(other.error(), (400, "INVALID_REQUEST"));
    let all = merchant.sim.get("/pay/refunds").await;
    assert_eq!(all["refunds"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn refunds_cannot_exceed_the_payment() {
    let merchant = Merchant::start().await;
    merchant.paid("T-000001", 100).await;
    let wrong_total = merchant.refund(&refund("R-0", "T-000001", 10, 99)).await;
    assert_eq!(wrong_total.error(), (400, "INVALID_REQUEST"));
    merchant
        .refund(&refund("R-1", "T-000001", 60, 100))
        .await
        .ok();
    let too_much = merchant.refund(&refund("R-2", "T-000001", 41, 100)).await;
    assert_eq!(too_much.error(), (400, "INVALID_REQUEST"));
    merchant
        .refund(&refund("R-3", "T-000001", 40, 100))
        .await
        .ok();
    let none_left = merchant.refund(&refund("R-4", "T-000001", 1, 100)).await;
    assert_eq!(none_left.error(), (400, "INVALID_REQUEST"));
    assert_eq!(none_left.json["message"], "订单已全额退款");
    assert_eq!(
        query(&merchant, "R-2").await.error(),
        (404, "RESOURCE_NOT_EXISTS")
    );
}

#[tokio::test]
async fn unpaid_order_cannot_be_refunded() {
    let merchant = Merchant::start().await;
    let order = super::merchant::order("T-000001", 100);
    merchant.order(&order).await.ok();
    for number in ["T-000001", "T-000002"] {
        let reply = merchant.refund(&refund("R-1", number, 10, 100)).await;
        assert_eq!(reply.error(), (404, "RESOURCE_NOT_EXISTS"));
    }
}

#[tokio::test]
async fn closed_refund_releases_its_amount() {
    let mut merchant = Merchant::start().await;
    merchant
        .settings(r#"{"refundOutcome":"closed","refundDelayMs":0}"#)
        .await;
    merchant.paid("T-000001", 100).await;
    merchant
        .refund(&refund("R-1", "T-000001", 100, 100))
        .await
        .ok();
    wait_for(&merchant, "R-1", "CLOSED").await;
    merchant
        .settings(r#"{"refundOutcome":"processing","refundSpacingSeconds":60}"#)
        .await;
    let soon = merchant.refund(&refund("R-2", "T-000001", 100, 100)).await;
    assert_eq!(soon.error(), (429, "FREQUENCY_LIMITED"));
    merchant.move_clocks(60).await;
    merchant
        .refund(&refund("R-2", "T-000001", 100, 100))
        .await
        .ok();
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(query(&merchant, "R-2").await.ok()["status"], "PROCESSING");
}

#[tokio::test]
async fn abnormal_refund_may_still_succeed() {
    let merchant = Merchant::start().await;
    let inbox = Inbox::start(&[]).await;
    merchant
        .settings(r#"{"refundOutcome":"abnormal","refundDelayMs":0,"refundStateOnSuccess":true}"#)
        .await;
    merchant.paid("T-000001", 100).await;
    let mut body = refund("R-1", "T-000001", 100, 100);
    body["notify_url"] = json!(inbox.url);
    merchant.refund(&body).await.ok();
    wait_for(&merchant, "R-1", "ABNORMAL").await;
    assert_eq!(
        merchant.query("T-000001").await.ok()["trade_state"],
        "SUCCESS"
    );
    let finish = "/refunds/R-1/finish";
    assert_eq!(
        merchant
            .try_control(finish, r#"{"status":"CLOSED"}"#)
            .await
            .0,
        409
    );
    merchant.control(finish, r#"{"status":"SUCCESS"}"#).await;
    assert_eq!(
        merchant.query("T-000001").await.ok()["trade_state"],
        "REFUND"
    );
    let statuses: Vec<_> = inbox
        .wait(2)
        .await
        .iter()
        .map(|delivery| delivery.plain()["refund_status"].clone())
        .collect();
    assert_eq!(statuses, ["ABNORMAL", "SUCCESS"]);
}

#[tokio::test]
async fn refunds_reduce_the_balance() {
    let merchant = Merchant::start().await;
    merchant
        .settings(r#"{"balanceFen":50,"refundOutcome":"processing"}"#)
        .await;
    merchant.paid("T-000001", 100).await;
    merchant
        .refund(&refund("R-1", "T-000001", 100, 100))
        .await
        .ok();
    assert_eq!(merchant.settings("{}").await["balanceFen"], 50);
    merchant.paid("T-000002", 100).await;
    merchant.settings(r#"{"balanceFen":99}"#).await;
    let body = refund("R-2", "T-000002", 100, 100);
    assert_eq!(merchant.refund(&body).await.error(), (403, "NOT_ENOUGH"));
    merchant.settings(r#"{"balanceFen":null}"#).await;
    merchant.refund(&body).await.ok();
}

#[tokio::test]
async fn payer_refund_is_proportional_to_payer_total() {
    let merchant = Merchant::start().await;
    merchant
        .order(&super::merchant::order("T-000001", 300))
        .await
        .ok();
    merchant
        .control(
            "/orders/T-000001/pay",
            r#"{"payerTotal":200,"notify":false}"#,
        )
        .await;
    let accepted = merchant
        .refund(&refund("R-1", "T-000001", 100, 300))
        .await
        .ok();
    assert_eq!(accepted["amount"]["payer_refund"], 67);
    assert_eq!(accepted["amount"]["discount_refund"], 33);
}

#[tokio::test]
async fn refund_returns_the_accounts_that_pay_for_it() {
    let merchant = Merchant::start().await;
    merchant.paid("T-000001", 300).await;
    let from = json!([
        {"account": "AVAILABLE", "amount": 60},
        {"account": "UNAVAILABLE", "amount": 40},
    ]);
    let mut body = refund("R-1", "T-000001", 100, 300);
    body["amount"]["from"] = from.clone();
    let accepted = merchant.refund(&body).await.ok();
    assert_eq!(accepted["amount"]["from"], from);
    assert_eq!(query(&merchant, "R-1").await.ok()["amount"]["from"], from);
    let plain = merchant.refund(&refund("R-2", "T-000001", 100, 300)).await;
    assert_eq!(plain.ok()["amount"]["from"], json!([]));
}

#[tokio::test]
async fn refund_after_a_year_is_rejected() {
    let mut merchant = Merchant::start().await;
    merchant.paid("T-000001", 100).await;
    merchant.move_clocks(366 * 24 * 3600).await;
    let late = merchant.refund(&refund("R-1", "T-000001", 100, 100)).await;
    assert_eq!(late.error(), (400, "TRADE_OVERDUE"));
}

#[tokio::test]
async fn refund_request_is_validated() {
    let merchant = Merchant::start().await;
    merchant.paid("T-000001", 100).await;
    for (pointer, value) in [
        ("/mchid", json!("1900012345")),
        ("/out_refund_no", json!("")),
        ("/out_refund_no", json!("a b")),
        ("/reason", json!("x".repeat(81))),
        ("/notify_url", json!("nowhere")),
        ("/funds_account", json!("MINE")),
        ("/amount/refund", json!(0)),
        ("/amount/refund", json!(0.5)),
        ("/amount/currency", json!("USD")),
        ("/amount/from", json!([])),
        (
            "/amount/from",
            json!([{"account": "AVAILABLE", "amount": 99}]),
        ),
        ("/amount/from", json!([{"account": "MINE", "amount": 100}])),
        (
            "/amount/from",
            json!([
                {"account": "AVAILABLE", "amount": 50},
                {"account": "AVAILABLE", "amount": 50},
            ]),
        ),
        ("/goods_detail", json!([{}])),
        ("/out_trade_no", Value::Null),
    ] {
        let mut body = refund("R-1", "T-000001", 100, 100);
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value.clone();
        let reply = merchant.refund(&body).await;
        assert_eq!(reply.error(), (400, "PARAM_ERROR"), "{pointer} {value}");
    }
    for missing in ["/out_trade_no", "/amount/currency"] {
        let mut body = refund("R-1", "T-000001", 100, 100);
        let (parent, name) = missing.rsplit_once('/').unwrap();
        let parent = body.pointer_mut(parent).unwrap();
        parent.as_object_mut().unwrap().remove(name);
        assert_eq!(
            merchant.refund(&body).await.error(),
            (400, "PARAM_ERROR"),
            "{missing}"
        );
    }
}
