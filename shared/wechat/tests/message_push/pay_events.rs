//! Payment events: the second signature, and what it protects.

use avalon_wechat::message_push::{
    Event, OrderSource, PayEventError, PaymentNotice, PushFormat, RefundSource,
};
use avalon_wechat::virtual_payment::{AppKeys, Env, RotatingAppKey, pay_event_sig};
use serde_json::{Value, json};

use crate::vectors::{PAYMENT, app_key, app_keys, open, open_plain, plain, text};

type Opened<T> = Result<PaymentNotice<T>, PayEventError>;

/// Opens the payload of any payment event; only the envelope of the result is of interest.
fn opened(event: &Event, keys: &AppKeys) -> Result<(Env, bool), PayEventError> {
    fn envelope<T>(opened: Opened<T>) -> Result<(Env, bool), PayEventError> {
        opened.map(|notice| (notice.env, notice.is_mock))
    }
    match event {
        Event::ItemDelivery(payload) => envelope(payload.open(keys)),
        Event::CoinsCredited(payload) => envelope(payload.open(keys)),
        Event::RechargeCentreCredited(payload) => envelope(payload.open(keys)),
        Event::Refund(payload) => envelope(payload.open(keys)),
        other => panic!("{other:?} is no payment event"),
    }
}

fn pushed(case: &'static Value) -> Event {
    open(&plain(), case).unwrap().event().unwrap()
}

fn vector(name: &str) -> Event {
    let pushes = PAYMENT["pushes"].as_array().unwrap();
    pushed(pushes.iter().find(|case| case["name"] == name).unwrap())
}

fn message(event: &str, payload: &str, signature: Option<&str>) -> Event {
    let mut game = json!({"Payload": payload});
    if let Some(signature) = signature {
        game["PayEventSig"] = signature.into();
    }
    let body = json!({"MsgType": "event", "Event": event, "MiniGame": game});
    open_plain(&body.to_string()).unwrap().event().unwrap()
}

#[test]
fn push_vectors_verify() {
    let pushes = PAYMENT["pushes"].as_array().unwrap();
    assert_eq!(pushes.len(), 15);
    for case in pushes {
        let is_mock = case["expect"] == "mock";
        let env = Env::from_code(case["env"].as_i64().unwrap()).unwrap();
        let result = opened(&pushed(case), &app_keys());
        assert_eq!(result, Ok((env, is_mock)), "{}", case["name"]);
    }
}

#[test]
fn negative_payloads_are_refused_for_their_own_reason() {
    let negatives = PAYMENT["negatives"].as_array().unwrap();
    let mut seen = 0;
    for case in negatives.iter().filter(|case| case["event"].is_string()) {
        let signature = case["pay_event_sig"].as_str();
        let event = message(text(&case["event"]), text(&case["payload"]), signature);
        let reason = match (text(&case["expect"]), signature) {
            ("unreadable", _) => PayEventError::Unreadable,
            (_, None) => PayEventError::NoSignature,
            _ => PayEventError::BadSignature,
        };
        assert_eq!(opened(&event, &app_keys()), Err(reason), "{}", case["name"]);
        seen += 1;
    }
    assert_eq!(seen, 7);
}

#[test]
fn deliveries_are_read() {
    let Event::ItemDelivery(payload) = vector("goods bought in the game") else {
        panic!("another event");
    };
    let delivery = payload.open(&app_keys()).unwrap().content;
    assert_eq!(delivery.open_id.as_str(), "oTest_virtualpay_player_0001");
    assert_eq!(delivery.out_trade_no, "01M9ZZ2Q4J7X6P1TV0SWBZ93CD");
    assert_eq!(
        (delivery.product_id.as_str(), delivery.quantity),
        ("gems-60", 2)
    );
    assert_eq!(delivery.source, OrderSource::Game);
    assert_eq!(delivery.actual_price.get(), 1_200);
    assert_eq!(delivery.attach.as_deref(), Some("avalon"));
    assert!(delivery.wechat_pay.unwrap().transaction_id.is_some());

    for name in [
        "goods of the store outside the game",
        "store, the other event name that the documentation prints",
    ] {
        let Event::ItemDelivery(payload) = vector(name) else {
            panic!("another event");
        };
        let store = payload.open(&app_keys()).unwrap().content;
        assert_eq!(store.source, OrderSource::Store);
        assert!(store.out_trade_no.starts_with('_') && store.attach.is_none());
    }
    let Event::ItemDelivery(payload) = vector("goods, Apple payment: no WeChatPayInfo") else {
        panic!("another event");
    };
    assert_eq!(payload.open(&app_keys()).unwrap().content.wechat_pay, None);
}

#[test]
fn coins_are_read_with_either_name_of_the_price() {
    for name in [
        "coins credited",
        "coins credited, TotalPrice instead of ActualPrice, order number made by the platform",
    ] {
        let Event::CoinsCredited(payload) = vector(name) else {
            panic!("another event");
        };
        let coins = payload.open(&app_keys()).unwrap().content;
        assert_eq!(
            (coins.quantity, coins.actual_price.get()),
            (60, 600),
            "{name}"
        );
        assert_eq!(coins.zone.as_deref(), Some("1"));
    }
    let Event::RechargeCentreCredited(payload) = vector("recharge centre") else {
        panic!("another event");
    };
    assert_eq!(payload.open(&app_keys()).unwrap().content.0.zone, None);
}

#[test]
fn refunds_are_read_with_and_without_an_order_number() {
    let refund = |name| {
        let Event::Refund(payload) = vector(name) else {
            panic!("another event");
        };
        payload.open(&app_keys()).unwrap().content
    };
    let whole = refund("refund of all");
    assert_eq!(
        (whole.amount.get(), whole.source),
        (1_200, RefundSource::Console)
    );
    let part = refund("refund of a part");
    assert_eq!(
        (part.amount.get(), part.source),
        (600, RefundSource::Platform)
    );
    let unnamed =
        refund("refund without OutTradeNo (as the documentation's sample): found by TransactionId");
    assert_eq!(unnamed.out_trade_no, None);
    assert_eq!(
        unnamed.wechat_pay.unwrap().transaction_id.unwrap().as_str(),
        "4200001234202611290000000001"
    );
}

#[test]
fn previous_app_key_verifies_while_it_is_configured() {
    let event = vector("goods bought in the game");
    let production = |current, previous| AppKeys {
        production: Some(RotatingAppKey { current, previous }),
        sandbox: None,
    };
    let rotated = production(app_key(1), Some(app_key(0)));
    assert_eq!(opened(&event, &rotated), Ok((Env::Production, false)));
    let wrong = production(app_key(1), None);
    assert_eq!(opened(&event, &wrong), Err(PayEventError::BadSignature));
    let sandbox_only = AppKeys {
        production: None,
        ..app_keys()
    };
    assert_eq!(opened(&event, &sandbox_only), Err(PayEventError::NoAppKey));
}

#[test]
fn payload_without_a_known_environment_is_unreadable() {
    let event = "minigame_pay_refund_succ_notify";
    for (payload, env) in [(r#"{"Env":2}"#, 0), ("{}", 1), ("[]", 0)] {
        let signature = pay_event_sig(&app_key(env), event, payload);
        let signed = message(event, payload, Some(&signature));
        assert_eq!(opened(&signed, &app_keys()), Err(PayEventError::Unreadable));
    }
}

/// The payload is JSON text in XML too, and its bytes count.
#[test]
fn payload_verifies_within_xml() {
    let pushes = PAYMENT["pushes"].as_array().unwrap();
    for case in pushes {
        let (event, payload) = (text(&case["event"]), text(&case["payload"]));
        let signature = text(&case["pay_event_sig"]);
        let escaped = payload
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('"', "&quot;");
        for content in [format!("<![CDATA[{payload}]]>"), escaped] {
            let xml = format!(
                "<xml><MsgType>event</MsgType><Event><![CDATA[{event}]]></Event><MiniGame><Payload>{content}\
                 </Payload><PayEventSig>{signature}</PayEventSig><IsMock>{}</IsMock></MiniGame></xml>",
                case["expect"] == "mock"
            );
            let push = open_plain(&xml).unwrap();
            assert_eq!(push.format, PushFormat::Xml);
            let (_, is_mock) = opened(&push.event().unwrap(), &app_keys()).unwrap();
            assert_eq!(is_mock, case["expect"] == "mock");
        }
    }
}

#[test]
fn payload_is_kept_as_received() {
    let Event::ItemDelivery(payload) =
        vector("goods, payload with spaces and another key order: the bytes count")
    else {
        panic!("another event");
    };
    assert!(payload.payload().starts_with(r#"{"Env": 0, "OpenId": "#));
}
