//! What the five calls refuse, each for its own reason.

use serde_json::{Value, json};

use super::app::{APP, App, Signed, hmac_hex};

const PAY: &str = "/wxa/game/pay";

async fn code(app: &App, signed: &Signed) -> i64 {
    app.send(signed).await.unwrap()["errcode"].as_i64().unwrap()
}

fn spend(app: &App) -> Value {
    app.parameters(json!({"amount": 60, "bill_no": "spend-1"}))
}

#[tokio::test]
async fn wrong_pay_sig_is_90011() {
    let app = App::start(None).await;
    let right = || app.signed(PAY, &spend(&app));
    let body = right().body;
    for pay_sig in [
        right().pay_sig.to_uppercase(),
        String::new(),
        // Without the path, with another name, with the host, with the other environment's key.
        hmac_hex(APP.app_key, &body),
        hmac_hex(APP.app_key, &format!("pay&{body}")),
        hmac_hex(
            APP.app_key,
            &format!("https://api.weixin.qq.com{PAY}&{body}"),
        ),
        hmac_hex(APP.sandbox_app_key, &format!("{PAY}&{body}")),
    ] {
        let signed = Signed { pay_sig, ..right() };
        assert_eq!(code(&app, &signed).await, 90011, "{}", signed.pay_sig);
    }
    // Right again, so nothing else was wrong: the player has no coins.
    assert_eq!(code(&app, &right()).await, 90013);
}

#[tokio::test]
async fn wrong_signature_is_90010() {
    let app = App::start(None).await;
    let right = || app.signed(PAY, &spend(&app));
    for signature in [
        right().signature.to_uppercase(),
        String::new(),
        hmac_hex("another key", &right().body),
        hmac_hex(&app.session_key, ""),
    ] {
        let signed = Signed {
            signature,
            ..right()
        };
        assert_eq!(code(&app, &signed).await, 90010, "{}", signed.signature);
    }
    let method = Signed {
        sig_method: "sha256",
        ..right()
    };
    assert_eq!(code(&app, &method).await, 90018);
}

#[tokio::test]
async fn body_changed_after_signing_is_refused() {
    let app = App::start(None).await;
    let right = app.signed(PAY, &spend(&app));
    let spaced = Signed {
        body: right.body.replace(':', ": "),
        ..right
    };
    assert_eq!(code(&app, &spaced).await, 90011);
}

#[tokio::test]
async fn previous_session_key_is_90016_or_90010() {
    let mut app = App::start(None).await;
    app.sim
        .put("/settings", r#"{"sessionKeyRotation":"always"}"#)
        .await;
    let before = app.session_key.clone();
    app.sign_in().await;
    assert_ne!(app.session_key, before);
    let body = spend(&app);
    let stale = Signed {
        signature: hmac_hex(&before, &body.to_string()),
        ..app.signed(PAY, &body)
    };
    assert_eq!(code(&app, &stale).await, 90016);
    app.put("/settings", json!({"staleKeyIsExpired": false}))
        .await;
    assert_eq!(code(&app, &stale).await, 90010);
}

#[tokio::test]
async fn player_who_never_signed_in_is_90010() {
    let app = App::start(None).await;
    let stranger = format!("o{}", "x".repeat(27));
    let body = app.parameters(json!({"openid": stranger, "amount": 1, "bill_no": "b"}));
    assert_eq!(code(&app, &app.signed(PAY, &body)).await, 90010);
}

#[tokio::test]
async fn wrong_parameters_are_90018_and_named() {
    let app = App::start(None).await;
    app.give(r#"{"bought":100}"#).await;
    for (field, value) in [
        ("openid", json!(1)),
        ("openid", json!("alice")),
        ("offer_id", json!(1_450_099_887)),
        ("offer_id", json!("1")),
        ("ts", json!("1790000000")),
        ("zone_id", json!(1)),
        ("zone_id", json!("2")),
        ("env", json!("0")),
        ("env", json!(2)),
        ("env", json!(0.5)),
        ("user_ip", json!("somewhere")),
        ("user_ip", Value::Null),
        ("amount", json!(0)),
        ("amount", json!(-1)),
        ("amount", json!("60")),
        ("amount", json!(2_147_483_648_i64)),
        ("bill_no", json!("_leading")),
        ("bill_no", json!("x".repeat(64))),
        ("bill_no", json!("a|b")),
        ("bill_no", json!("")),
        ("bill_no", json!(7)),
        ("payitem", json!(7)),
        ("remark", json!({})),
    ] {
        let mut body = spend(&app);
        body[field] = value.clone();
        let answer = app.send(&app.signed(PAY, &body)).await.unwrap();
        assert_eq!(answer["errcode"], 90018, "{field} {value}: {answer}");
        let message = answer["errmsg"].as_str().unwrap();
        assert!(message.contains(&format!("[{field}]")), "{message}");
    }
    for field in [
        "openid", "offer_id", "ts", "zone_id", "env", "user_ip", "amount", "bill_no",
    ] {
        let mut body = spend(&app);
        body.as_object_mut().unwrap().remove(field);
        assert_eq!(code(&app, &app.signed(PAY, &body)).await, 90018, "{field}");
    }
    assert_eq!(app.balance().await["balance"], 100);
}

#[tokio::test]
async fn other_calls_check_their_parameters() {
    let app = App::start(None).await;
    for (path, extra) in [
        ("/wxa/game/getbalance", json!({"coin_type": 2})),
        ("/wxa/game/getbalance", json!({"coin_type": "0"})),
        ("/wxa/game/cancelpay", json!({"amount": 1, "bill_no": "b"})),
        (
            "/wxa/game/cancelpay",
            json!({"amount": 1, "bill_no": "b", "pay_bill_no": "_s"}),
        ),
        ("/wxa/game/present", json!({"amount": 0, "bill_no": "b"})),
        ("/wxa/game/queryorderinfo", json!({"biz_id": 1})),
        ("/wxa/game/queryorderinfo", json!({"out_trade_no": "T1"})),
        (
            "/wxa/game/queryorderinfo",
            json!({"out_trade_no": "T1", "biz_id": 3}),
        ),
        (
            "/wxa/game/queryorderinfo",
            json!({"out_trade_no": 1, "biz_id": 1}),
        ),
    ] {
        assert_eq!(
            app.errcode(path, extra.clone()).await,
            90018,
            "{path} {extra}"
        );
    }
    assert_eq!(app.query("T1", 2).await["errcode"], 90019);
}

#[tokio::test]
async fn errors_echo_the_request() {
    let app = App::start(None).await;
    let answer = app.call(PAY, json!({"amount": 0, "bill_no": "b"})).await;
    let message = answer["errmsg"].as_str().unwrap();
    assert!(
        message.contains(&app.openid) && message.contains("rid: "),
        "{message}"
    );
}

#[tokio::test]
async fn platform_checks_come_first() {
    let mut app = App::start(None).await;
    let signed = app.signed(PAY, &spend(&app));
    let url = format!("{}{PAY}", app.sim.base);
    let get: Value = app
        .sim
        .http
        .get(url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(get["errcode"], 43002);
    let empty = Signed {
        body: String::new(),
        ..app.signed(PAY, &spend(&app))
    };
    assert_eq!(code(&app, &empty).await, 44002);
    let text = Signed {
        body: "[]".to_owned(),
        ..app.signed(PAY, &spend(&app))
    };
    assert_eq!(code(&app, &text).await, 47001);
    app.token = "unknown".to_owned();
    assert_eq!(code(&app, &signed).await, 40001);
}

#[tokio::test]
async fn replaced_app_key_is_refused_at_once() {
    let app = App::start(None).await;
    app.put("/keys", json!({"appKey": "another"})).await;
    assert_eq!(code(&app, &app.signed(PAY, &spend(&app))).await, 90011);
}

#[tokio::test]
async fn clock_of_the_call_is_checked_if_set_so() {
    let app = App::start(None).await;
    app.put("/settings", json!({"tsToleranceSeconds": 300}))
        .await;
    assert_eq!(
        app.errcode(PAY, json!({"amount": 1, "bill_no": "b"})).await,
        90018
    );
    let now = app.sim.get("/state").await["now"]
        .as_str()
        .unwrap()
        .to_owned();
    let now: jiff::Timestamp = now.parse().unwrap();
    let extra = json!({"amount": 1, "bill_no": "b", "ts": now.as_second()});
    assert_eq!(app.errcode(PAY, extra).await, 90013);
}
