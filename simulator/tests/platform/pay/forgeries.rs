//! Forged callbacks: the requested defect, under a valid signature unless that is the defect.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::inbox::{Delivery, Inbox};
use super::merchant::{Merchant, order};
use super::verification::decrypt;

struct Forger {
    merchant: Merchant,
    inbox: Inbox,
}

impl Forger {
    async fn start() -> Self {
        let (merchant, inbox) = (Merchant::start().await, Inbox::start(&[]).await);
        let mut body = order("T-000001", 648);
        body["notify_url"] = json!(inbox.url);
        merchant.order(&body).await.ok();
        Self { merchant, inbox }
    }

    async fn forge(&self, kind: &str) -> Delivery {
        let body = json!({"outTradeNo": "T-000001", "kind": kind}).to_string();
        let callback = self.merchant.control("/callbacks/forge", &body).await;
        assert_eq!(callback["forged"], kind);
        assert_eq!(callback["attempts"][0]["status"], 204);
        self.inbox.deliveries().pop().unwrap()
    }
}

#[tokio::test]
async fn false_content_has_a_valid_signature() {
    let forger = Forger::start().await;
    let cases: [(&str, &str, Value); 9] = [
        ("amount", "/amount/total", json!(649)),
        ("currency", "/amount/currency", json!("USD")),
        ("mch", "/mchid", json!("1900099999")),
        ("app", "/appid", json!("wxfedcba9876543210")),
        (
            "openid",
            "/payer/openid",
            json!("oSomebodyElse_0123456789abcd"),
        ),
        ("state", "/trade_state", json!("NOTPAY")),
        (
            "unknownOrder",
            "/out_trade_no",
            json!("NEVER-ORDERED-000001"),
        ),
        ("coupon", "/amount/payer_total", json!(486)),
        ("eventType", "/trade_state", json!("SUCCESS")),
    ];
    for (kind, pointer, expected) in cases {
        let delivery = forger.forge(kind).await;
        assert_eq!(delivery.plain().pointer(pointer), Some(&expected), "{kind}");
        let is_usual = delivery.envelope()["event_type"] == "TRANSACTION.SUCCESS";
        assert_eq!(is_usual, kind != "eventType");
    }
    let (one, other) = (
        forger.forge("transaction").await,
        forger.forge("transaction").await,
    );
    assert_ne!(
        one.plain()["transaction_id"],
        other.plain()["transaction_id"]
    );
    // The order itself is unchanged.
    let queried = forger.merchant.query("T-000001").await.ok();
    assert_eq!(queried["trade_state"], "NOTPAY");
}

#[tokio::test]
async fn unreadable_content_has_a_valid_signature() {
    let forger = Forger::start().await;
    for kind in ["ciphertext", "apiV3Key"] {
        let delivery = forger.forge(kind).await;
        assert!(delivery.verify().is_ok());
        assert_eq!(decrypt(&delivery.envelope()["resource"]), None, "{kind}");
    }
    let delivery = forger.forge("notJson").await;
    assert_eq!(
        decrypt(&delivery.envelope()["resource"]).unwrap(),
        b"not JSON"
    );
    let delivery = forger.forge("algorithm").await;
    assert!(delivery.verify().is_ok());
    assert_eq!(delivery.envelope()["resource"]["algorithm"], "AEAD_SM4_GCM");
}

#[tokio::test]
async fn signature_itself_can_be_forged() {
    let forger = Forger::start().await;
    let delivery = forger.forge("unknownSerial").await;
    assert_eq!(delivery.verify(), Err("unknown serial"));
    for kind in ["signature", "signTest"] {
        assert_eq!(forger.forge(kind).await.verify(), Err("wrong signature"));
    }
    let delivery = forger.forge("staleTimestamp").await;
    assert!(delivery.verify().is_ok());
    let time: i64 = delivery.headers["wechatpay-timestamp"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(Timestamp::now().as_second() - time >= 600);
}

#[tokio::test]
async fn forging_requires_a_known_order_and_kind() {
    let forger = Forger::start().await;
    for (body, status) in [
        (r#"{"outTradeNo":"T-000002","kind":"amount"}"#, 404),
        (r#"{"outTradeNo":"T-000001","kind":"unknown"}"#, 400),
    ] {
        let refused = forger.merchant.try_control("/callbacks/forge", body).await;
        assert_eq!(refused.0, status);
    }
}
