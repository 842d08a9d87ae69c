//! What the payment sheet refuses, each with its own code.

use serde_json::{Value, json};

use super::app::{App, client_code, hmac_hex};

/// Changes a field of an order; null removes it.
fn changed(mut order: Value, field: &str, value: Value) -> Value {
    match value {
        Value::Null => {
            order.as_object_mut().unwrap().remove(field);
        }
        value => order[field] = value,
    }
    order
}

#[tokio::test]
async fn malformed_sign_data_has_its_code() {
    let app = App::start(None).await;
    let item = || App::item_order("T1");
    for (order, code) in [
        (changed(item(), "mode", Value::Null), -15001),
        (changed(item(), "offerId", Value::Null), -15001),
        (changed(item(), "buyQuantity", Value::Null), -15001),
        (changed(item(), "env", Value::Null), -15001),
        (changed(item(), "currencyType", Value::Null), -15001),
        (changed(item(), "zoneId", Value::Null), -15001),
        (changed(item(), "productId", Value::Null), -15001),
        (changed(item(), "goodsPrice", Value::Null), -15001),
        (changed(item(), "mode", json!("game")), -15002),
        (changed(item(), "offerId", json!("1")), -15002),
        (changed(item(), "buyQuantity", json!("2")), -15002),
        (changed(item(), "buyQuantity", json!(0)), -15002),
        (changed(item(), "env", json!("0")), -15002),
        (changed(item(), "platform", json!("ios")), -15002),
        (changed(item(), "goodsPrice", json!(6.5)), -15002),
        (changed(item(), "outTradeNo", json!("_T1")), -15002),
        (changed(item(), "outTradeNo", json!("x".repeat(33))), -15002),
        (changed(item(), "outTradeNo", json!("T 1")), -15002),
        (changed(item(), "attach", json!(1)), -15002),
        (
            changed(App::coin_order("C1"), "productId", json!("p")),
            -15002,
        ),
        (changed(App::coin_order("C1"), "attach", json!("a")), -15002),
        // Six yuan is a price tier, seven is not.
        (
            changed(App::coin_order("C1"), "buyQuantity", json!(70)),
            -15002,
        ),
        (changed(item(), "currencyType", json!("USD")), -15006),
        (changed(item(), "zoneId", json!("2")), 1001),
        (changed(item(), "productId", json!("unknown")), 3017),
        (changed(item(), "goodsPrice", json!(599)), -15016),
        (
            changed(App::coin_order("C1"), "goodsPrice", json!(1)),
            -15016,
        ),
    ] {
        assert_eq!(app.code(&order, json!({})).await, code, "{order}");
    }
    let object = json!({"signData": App::item_order("T1")});
    assert_eq!(app.code(&item(), object).await, -15011);
    let text = json!({"signData": "text"});
    assert_eq!(app.code(&item(), text).await, -15002);
    // Nothing was begun.
    assert_eq!(app.query("T1", 2).await["errcode"], 90019);
}

#[tokio::test]
async fn wrong_signatures_have_their_codes() {
    let app = App::start(None).await;
    let order = App::item_order("T1");
    let data = order.to_string();
    let right = app.client_call(&order, json!({}));
    let upper = |name: &str| right[name].as_str().unwrap().to_uppercase();
    for (extra, code) in [
        (json!({"paySig": hmac_hex(App::app_key(0), &data)}), -15014),
        (json!({"paySig": upper("paySig")}), -15014),
        (
            json!({"paySig": hmac_hex(App::app_key(1), &format!("requestMidasPaymentGameItem&{data}"))}),
            -15014,
        ),
        (json!({"signData": data.replace(':', ": ")}), -15014),
        (json!({"signature": hmac_hex("another", &data)}), -15012),
        (json!({"signature": upper("signature")}), -15012),
    ] {
        assert_eq!(app.code(&order, extra.clone()).await, code, "{extra}");
    }
}

#[tokio::test]
async fn devices_and_builds_have_their_codes() {
    let app = App::start(None).await;
    let production = App::item_order("T1");
    let sandbox = changed(App::item_order("T2"), "env", json!(1));
    for (order, device, code) in [
        (
            &production,
            json!({"platform": "ios", "iosVersion": "14.8"}),
            701_001,
        ),
        (
            &production,
            json!({"platform": "ios", "clientVersion": "8.0.67"}),
            701_001,
        ),
        (
            &production,
            json!({"platform": "ios", "libraryVersion": "3.10.2"}),
            701_001,
        ),
        (
            &production,
            json!({"platform": "ios", "contractSigned": false}),
            701_001,
        ),
        (&sandbox, json!({"platform": "ios"}), 701_001),
        (&sandbox, json!({"build": "release"}), -15010),
        (&sandbox, json!({"build": "trial"}), 0),
        (
            &production,
            json!({"platform": "windows", "build": "release"}),
            0,
        ),
    ] {
        let extra = json!({"device": device});
        assert_eq!(app.code(order, extra).await, code, "{device}");
    }
    for (device, allowed) in [
        (json!({}), true),
        (json!({"platform": "devtools"}), true),
        (json!({"platform": "ios"}), true),
        (json!({"platform": "ios", "contractSigned": false}), false),
    ] {
        let answer = app.post("/check-is-support-midas-payment", device).await;
        assert_eq!(answer["data"]["allow_pay"], allowed);
    }
}

#[tokio::test]
async fn conditions_of_app_and_player_have_their_codes() {
    let app = App::start(None).await;
    let order = App::item_order("T1");
    assert_eq!(app.code(&order, json!({"healthLimit": true})).await, -15009);
    for code in [-15004, 1003, 3, 4, 5, 6, 7, 1, -6, 1000] {
        let answer = app.code(&order, json!({"forceCode": code})).await;
        assert_eq!(answer, code);
    }
    app.put("/settings", json!({"maySell": false})).await;
    assert_eq!(app.code(&order, json!({})).await, -15005);
    app.put("/settings", json!({"maySell": true})).await;
    app.put("/coin", json!({"price": null})).await;
    assert_eq!(app.code(&App::coin_order("C1"), json!({})).await, -15013);
}

#[tokio::test]
async fn closed_and_old_orders_cannot_be_paid() {
    let app = App::start(None).await;
    for number in ["T1", "T2"] {
        let order = App::item_order(number);
        assert_eq!(app.code(&order, json!({"outcome": "cancel"})).await, -2);
    }
    app.post("/orders/T1/close", json!({})).await;
    assert_eq!(app.code(&App::item_order("T1"), json!({})).await, -15017);
    app.post("/clock/advance", json!({"seconds": 7_201})).await;
    assert_eq!(app.code(&App::item_order("T2"), json!({})).await, -15017);
}

#[tokio::test]
async fn order_number_belongs_to_one_player() {
    let app = App::start(None).await;
    let order = App::item_order("T1");
    assert_eq!(app.code(&order, json!({"outcome": "cancel"})).await, -2);
    let bob = app.sim.session("sim-bob").await;
    let data = order.to_string();
    let extra = json!({
        "openid": bob["openid"],
        "signature": hmac_hex(bob["session_key"].as_str().unwrap(), &data),
    });
    let answer = app.buy(&order, extra).await;
    assert_eq!(client_code(&answer), -15003);
}
