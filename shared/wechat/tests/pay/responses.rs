//! Request and response of each API, and how the client treats invalid responses.

use avalon_wechat::OpenId;
use avalon_wechat::pay::{
    Attach, Description, Fen, JsapiOrder, OutRefundNo, OutTradeNo, PayError, PayErrorClass,
    PrepayId, Reason, RefundOf, RefundOrder, RefundState, TradeState, TransactionId, VerifyError,
};
use serde_json::{Value, json};

use crate::platform::{Platform, Reply, settings};
use crate::vectors::*;

fn number() -> OutTradeNo {
    OutTradeNo::parse("T20260101-000001").unwrap()
}

fn order() -> JsapiOrder {
    JsapiOrder {
        out_trade_no: number(),
        description: Description::parse("星尘礼包 x1").unwrap(),
        total: Fen::new(648).unwrap(),
        payer: OpenId::new(merchant("openid")),
        time_expire: Some("2026-01-01T00:30:00Z".parse().unwrap()),
        attach: Some(Attach::parse("player=42").unwrap()),
        client_ip: Some([203, 0, 113, 7].into()),
    }
}

fn refund_body() -> String {
    let refund = RefundOrder {
        of: RefundOf::Order(number()),
        out_refund_no: OutRefundNo::parse("R20260101-000001").unwrap(),
        refund: Fen::new(300).unwrap(),
        total: Fen::new(648).unwrap(),
        reason: Some(Reason::parse("test refund").unwrap()),
    };
    refund.to_body(&settings("http://127.0.0.1:1"))
}

fn refund_response() -> String {
    json!({
        "refund_id": "50300000002026010100000000001", "out_refund_no": "R20260101-000001",
        "transaction_id": "4200000000202601010000000001", "out_trade_no": "T20260101-000001",
        "channel": "ORIGINAL", "status": "PROCESSING", "create_time": "2026-01-01T08:01:50+08:00",
        "user_received_account": "支付用户零钱", "funds_account": "AVAILABLE",
        "amount": {"total": 648, "refund": 300, "payer_total": 648, "payer_refund": 300,
                   "from": [], "currency": "CNY"},
    })
    .to_string()
}

#[tokio::test]
async fn order_is_sent_exactly_as_stored() {
    let platform =
        Platform::new(|_| Reply::signed(200, r#"{"prepay_id":"wx01080000123456"}"#)).await;
    let stored = order().to_body(platform.client.settings());
    assert_eq!(stored, order().to_body(platform.client.settings()));
    let prepay_id = platform.client.submit_order(&stored).await.unwrap();
    assert_eq!(prepay_id, PrepayId::new("wx01080000123456"));

    let request = &platform.requests()[0];
    assert_eq!(
        (request.method.as_str(), request.path()),
        ("POST", "/v3/pay/transactions/jsapi")
    );
    assert_eq!(request.body, stored);
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(
        request.header("wechatpay-serial"),
        Some(public_key().id.as_str())
    );
    let sent: Value = serde_json::from_str(&stored).unwrap();
    let mut published: Value =
        serde_json::from_str(text(&cases("request_signing")[0]["body"])).unwrap();
    published["notify_url"] = json!("https://game.example.test/api/wx/pay/notify");
    assert_eq!(sent, published);

    let params = platform.client.pay_params(&prepay_id).unwrap();
    assert_eq!(params.package, "prepay_id=wx01080000123456");
    assert!(params.nonce_str.len() <= 32);
    let counted = "avalon_wechat_requests_total{api=\"pay_jsapi\",outcome=\"ok\"} 1";
    assert!(platform.metrics().contains(counted));
}

#[test]
fn absent_fields_are_omitted() {
    let bare = JsapiOrder {
        time_expire: None,
        attach: None,
        client_ip: None,
        ..order()
    };
    let body = bare.to_body(&settings("http://127.0.0.1:1"));
    for field in ["null", "attach", "time_expire", "scene_info"] {
        assert!(!body.contains(field), "{body}");
    }
}

#[tokio::test]
async fn orders_are_queried_by_either_number() {
    let platform = Platform::new(|request| {
        assert_eq!(request.query(), "mchid=1900012345");
        match request.path() {
            "/v3/pay/transactions/out-trade-no/T20260101-000001" => {
                Reply::signed(200, text(&cases("response_verification")[3]["body"]))
            }
            "/v3/pay/transactions/id/4200000000202601010000000001" => {
                Reply::signed(200, text(&cases("notifications")[0]["plaintext"]))
            }
            other => panic!("{other}"),
        }
    })
    .await;
    let unpaid = platform
        .client
        .query_by_out_trade_no(&number())
        .await
        .unwrap();
    assert_eq!(
        (unpaid.trade_state, unpaid.transaction_id),
        (TradeState::NotPay, None)
    );
    assert_eq!(
        (unpaid.amount.total.get(), unpaid.amount.payer_total),
        (648, None)
    );
    let id = TransactionId::new("4200000000202601010000000001");
    let paid = platform.client.query_by_transaction_id(&id).await.unwrap();
    assert!(paid.trade_state.is_paid() && paid.payer().is_some());
}

#[tokio::test]
async fn response_about_another_order_is_malformed() {
    let platform =
        Platform::new(|_| Reply::signed(200, text(&cases("notifications")[0]["plaintext"]))).await;
    let other = OutTradeNo::parse("T20260101-000002").unwrap();
    let error = platform
        .client
        .query_by_out_trade_no(&other)
        .await
        .unwrap_err();
    assert!(matches!(error, PayError::Malformed { .. }), "{error}");
    let id = TransactionId::new("../../x?y");
    assert!(platform.client.query_by_transaction_id(&id).await.is_err());
    let path = platform.requests().pop().unwrap().path().to_owned();
    assert_eq!(path, "/v3/pay/transactions/id/%2E%2E%2F%2E%2E%2Fx%3Fy");
}

#[tokio::test]
async fn close_succeeds_with_an_empty_response() {
    let platform = Platform::new(|_| Reply::signed(204, "")).await;
    platform.client.close(&number()).await.unwrap();
    let request = &platform.requests()[0];
    let path = "/v3/pay/transactions/out-trade-no/T20260101-000001/close";
    assert_eq!(
        (request.path(), request.body.as_str()),
        (path, r#"{"mchid":"1900012345"}"#)
    );
}

#[tokio::test]
async fn refunds_are_created_and_queried() {
    let platform = Platform::new(|_| Reply::signed(200, refund_response())).await;
    let refund = platform.client.submit_refund(&refund_body()).await.unwrap();
    assert_eq!(refund.state, RefundState::Processing);
    let number = OutRefundNo::parse("R20260101-000001").unwrap();
    assert_eq!(platform.client.query_refund(&number).await.unwrap(), refund);

    let requests = platform.requests();
    let sent: Value = serde_json::from_str(&requests[0].body).unwrap();
    let mut published: Value =
        serde_json::from_str(text(&cases("request_signing")[5]["body"])).unwrap();
    published["notify_url"] = json!("https://game.example.test/api/wx/pay/refundNotify");
    assert_eq!(sent, published);
    let path = "/v3/refund/domestic/refunds/R20260101-000001";
    assert_eq!(requests[1].target, path);
}

#[tokio::test]
async fn unverified_success_is_an_error() {
    let prepay = r#"{"prepay_id":"wx1"}"#;
    let unrelated = text(&VECTORS["keys"]["unrelated_rsa_key"]["private_key_pkcs8_pem"]);
    let unsigned = Platform::new(move |_| Reply::unsigned(200, prepay)).await;
    let forged =
        Platform::new(move |_| Reply::signed_by(public_key().id.as_str(), unrelated, 200, prepay))
            .await;
    let probe = Platform::new(move |_| {
        let id = public_key().id;
        Reply::with_signature(id.as_str(), "WECHATPAY/SIGNTEST/x", 200, prepay)
    })
    .await;
    for (platform, cause) in [
        (unsigned, VerifyError::MissingHeader("Wechatpay-Timestamp")),
        (forged, VerifyError::BadSignature),
        (probe, VerifyError::SignTest),
    ] {
        let error = platform.client.submit_order("{}").await.unwrap_err();
        assert_eq!(
            (error.class(), error.request_id()),
            (PayErrorClass::Retry, Some("08ABC-0"))
        );
        assert!(error.may_have_taken_effect());
        let PayError::Unverified { source, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(source, cause);
        let error = platform.client.submit_refund("{}").await.unwrap_err();
        assert_eq!(error.class(), PayErrorClass::QueryFirst);
        assert!(
            platform
                .metrics()
                .contains("pay_jsapi\",outcome=\"unverified\"} 1")
        );
    }
}

#[tokio::test]
async fn errors_are_parsed_in_every_format() {
    let error = async |reply: fn() -> Reply| {
        let platform = Platform::new(move |_| reply()).await;
        platform
            .client
            .query_by_out_trade_no(&number())
            .await
            .unwrap_err()
    };
    let absent = error(|| Reply::error(404, "ORDER_NOT_EXIST")).await;
    assert!(absent.is_absent() && matches!(absent, PayError::Api { signed: false, .. }));
    let signed = error(|| Reply::signed(400, r#"{"code":"PARAM_ERROR"}"#)).await;
    assert!(
        matches!(signed, PayError::Api { signed: true, .. }),
        "{signed:?}"
    );
    for (reply, class) in [
        (
            (|| Reply::unsigned(502, "<html>Bad Gateway</html>")) as fn() -> Reply,
            PayErrorClass::Retry,
        ),
        (|| Reply::unsigned(404, ""), PayErrorClass::Permanent),
        (|| Reply::unsigned(302, ""), PayErrorClass::Alert),
        (|| Reply::unsigned(401, "[1]"), PayErrorClass::Alert),
        (
            || Reply::error(429, "FREQUENCY_LIMITED"),
            PayErrorClass::RateLimited,
        ),
    ] {
        let error = error(reply).await;
        assert_eq!(error.class(), class, "{error}");
    }
}

#[tokio::test]
async fn oversized_response_is_malformed() {
    let platform = Platform::new(|_| Reply::unsigned(200, vec![b' '; 2 * 1024 * 1024])).await;
    let error = platform
        .client
        .query_by_out_trade_no(&number())
        .await
        .unwrap_err();
    assert!(matches!(error, PayError::Malformed { .. }), "{error}");
}

#[tokio::test]
async fn errors_and_debug_output_redact_secrets() {
    let platform = Platform::new(|_| Reply::error(401, "SIGN_ERROR")).await;
    let error = platform
        .client
        .submit_order(&refund_body())
        .await
        .unwrap_err();
    let shown = format!("{error} {error:?} {:#?} {:?}", platform.client, signer());
    let key = merchant("private_key_pkcs8_pem").lines().nth(1).unwrap();
    let api_v3_key = text(&VECTORS["keys"]["apiv3_key"]);
    assert!(
        !shown.contains(key) && !shown.contains(api_v3_key),
        "{shown}"
    );
}
