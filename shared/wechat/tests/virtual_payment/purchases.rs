//! Purchases whose texts we sign: accepted by the payment sheet, reported by the query.

use avalon_wechat::pay::Fen;
use avalon_wechat::virtual_payment::{
    ClientPayment, DeliverState, Env, OrderKind, OrderQuery, PayState, Purchase, SignData, TradeNo,
};
use serde_json::{Value, json};

use crate::platform::{Platform, amount, keys};

fn fen(fen: i64) -> Fen {
    Fen::new(fen).unwrap()
}

fn items(unit_price: i64) -> Purchase<'static> {
    Purchase::Items {
        product_id: "gems-60",
        quantity: 2,
        unit_price: fen(unit_price),
        attach: Some("avalon"),
    }
}

fn sign(platform: &Platform, number: &str, purchase: &Purchase<'_>) -> (SignData, ClientPayment) {
    let number = TradeNo::parse(number).unwrap();
    let settings = platform.client.settings();
    let data = SignData::build(settings, Env::Production, &number, purchase).unwrap();
    let signed = data.sign(&keys(), &platform.player.session_key).unwrap();
    (data, signed)
}

async fn pay(platform: &Platform, payment: &ClientPayment) -> Value {
    let call = json!({
        "openid": platform.player.open_id.as_str(),
        "signData": payment.sign_data,
        "paySig": payment.pay_sig,
        "signature": payment.signature,
    });
    let path = "/vpay/request-midas-payment-game-item";
    platform.post(path, &call.to_string()).await
}

async fn start() -> Platform {
    let platform = Platform::start().await;
    platform
        .put("/vpay/products/gems-60", r#"{"price":600}"#)
        .await;
    platform
}

#[tokio::test]
async fn signed_purchase_is_paid_and_found_by_query() {
    let platform = start().await;
    let (_, payment) = sign(&platform, "T1", &items(600));
    let answer = pay(&platform, &payment).await;
    assert_eq!(
        answer["errMsg"], "requestMidasPaymentGameItem:ok",
        "{answer}"
    );
    let number = TradeNo::parse("T1").unwrap();
    let query = OrderQuery {
        out_trade_no: &number,
        kind: OrderKind::Items,
    };
    let order = platform
        .client
        .query_order(&platform.caller(), &query)
        .await;
    let order = order.unwrap().unwrap();
    assert_eq!(order.pay_state, PayState::Paid);
    assert_eq!(order.deliver_state, Some(DeliverState::Undelivered));
    assert_eq!(order.product_id.as_deref(), Some("gems-60"));
    assert!(order.paid_at.is_some() && order.transaction_id.is_some());
}

#[tokio::test]
async fn signed_coin_pack_is_credited() {
    let platform = start().await;
    let pack = Purchase::Coins {
        quantity: amount(60),
        coin_price: fen(10),
    };
    let (_, payment) = sign(&platform, "C1", &pack);
    let answer = pay(&platform, &payment).await;
    assert_eq!(
        answer["errMsg"], "requestMidasPaymentGameItem:ok",
        "{answer}"
    );
    assert_eq!(platform.balance().await, 60);
}

#[tokio::test]
async fn stored_text_is_signed_again_after_a_sign_in() {
    let mut platform = start().await;
    platform
        .put("/settings", r#"{"sessionKeyRotation":"always"}"#)
        .await;
    let (data, before) = sign(&platform, "T1", &items(600));
    platform.sign_in().await;
    assert_eq!(pay(&platform, &before).await["errCode"], -15015);
    let stored = SignData::stored(data.as_str()).unwrap();
    let after = stored.sign(&keys(), &platform.player.session_key).unwrap();
    assert_eq!(
        (&after.sign_data, &after.pay_sig),
        (&before.sign_data, &before.pay_sig)
    );
    let answer = pay(&platform, &after).await;
    assert_eq!(
        answer["errMsg"], "requestMidasPaymentGameItem:ok",
        "{answer}"
    );
}

#[tokio::test]
async fn price_other_than_the_consoles_is_refused() {
    let platform = start().await;
    let (_, payment) = sign(&platform, "T1", &items(599));
    assert_eq!(pay(&platform, &payment).await["errCode"], -15016);
}
