//! Request validation: the test vectors, and one violated rule at a time.

use avalon_simulator::{PayMerchant, PaySimulatorSettings, SimulatorSettings};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::merchant::{Merchant, TEST, order};
use crate::harness::{APP_ID, APP_SECRET, TestSimulator};

const JSAPI: &str = "/v3/pay/transactions/jsapi";

#[tokio::test]
async fn test_vectors_return_the_expected_responses() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("requests.json")).unwrap();
    assert_eq!(vectors.len(), 10);
    let merchant = Merchant::start().await;
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap().to_owned();
        let name = text("name");
        set_clock(&merchant.sim, vector["platform_now"].as_i64().unwrap()).await;
        let method = Method::from_bytes(text("method").as_bytes()).unwrap();
        let url = format!("{}{}", merchant.sim.base, text("url_path_and_query"));
        let mut request = merchant.sim.http.request(method, url);
        for (name, value) in vector["headers"].as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        let body = text("body");
        if !body.is_empty() {
            request = request.body(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let is_signed = response.headers().contains_key("wechatpay-signature");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(json!(status), vector["expected_status"], "{name}: {answer}");
        assert_eq!(
            answer.get("code").unwrap_or(&Value::Null),
            &vector["expected_code"],
            "{name}"
        );
        assert_eq!(
            answer.get("message").unwrap_or(&Value::Null),
            &vector["expected_message"],
            "{name}"
        );
        assert_eq!(is_signed, status == 200, "{name}");
    }
}

async fn set_clock(sim: &TestSimulator, time: i64) {
    let skew = time - Timestamp::now().as_second();
    sim.put("/settings", &json!({"clockSkewSeconds": skew}).to_string())
        .await;
}

#[tokio::test]
async fn wrong_signature_error_shows_the_expected_message() {
    let merchant = Merchant::start().await;
    let body = order("T-000001", 648).to_string();
    let response = merchant
        .sim
        .http
        .post(format!("{}{JSAPI}", merchant.sim.base))
        .header("content-type", "application/json")
        .header(
            "authorization",
            merchant.authorization("POST", JSAPI, b"{}"),
        )
        .body(body.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers().get("request-id"), None);
    let detail = &response.json::<Value>().await.unwrap()["detail"];
    assert_eq!(detail["detail"]["issue"], "sign not match");
    let shown = &detail["sign_information"];
    assert_eq!(shown["url"], JSAPI);
    let head = shown["truncated_sign_message"].as_str().unwrap();
    assert!(
        head.starts_with("POST\n/v3/pay/transactions/jsapi\n"),
        "{head}"
    );
    let rest = format!("POST\n{JSAPI}\n1234567890\n{}\n{body}\n", "n".repeat(32));
    assert_eq!(shown["sign_message_length"], rest.len());
}

#[tokio::test]
async fn clock_skew_is_limited_to_five_minutes() {
    let mut merchant = Merchant::start().await;
    for (skew, status) in [(-290, 404), (290, 404), (-302, 401), (302, 401)] {
        merchant.skew = skew;
        assert_eq!(merchant.query("T-000001").await.status, status, "{skew}");
    }
}

/// Sends a query whose `Authorization` names this serial; returns status and code.
async fn query_as(merchant: &Merchant, serial: &str) -> (u16, String) {
    let url = format!(
        "/v3/pay/transactions/out-trade-no/T-000001?mchid={}",
        TEST.mch_id
    );
    let authorization = merchant.authorization("GET", &url, b"");
    assert!(authorization.contains(TEST.merchant_serial));
    let response = merchant
        .sim
        .http
        .get(format!("{}{url}", merchant.sim.base))
        .header(
            "authorization",
            authorization.replace(TEST.merchant_serial, serial),
        )
        .send()
        .await
        .unwrap();
    let status = response.status().as_u16();
    let answer: Value = response.json().await.unwrap();
    (status, answer["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn lower_case_merchant_serial_is_rejected_by_default() {
    let lower = TEST.merchant_serial.to_ascii_lowercase();
    let refused = (401, "SIGN_ERROR".to_owned());
    let found = (404, "ORDER_NOT_EXIST".to_owned());
    // Whatever the case of the configured serial.
    for configured in [TEST.merchant_serial, &lower] {
        let mut settings = SimulatorSettings::new(APP_ID, APP_SECRET);
        let merchant = PayMerchant {
            mch_id: TEST.mch_id,
            serial: configured,
            key: TEST.merchant_certificate,
            api_v3_key: TEST.api_v3_key,
        };
        settings.pay = Some(PaySimulatorSettings::new(&merchant).unwrap());
        let merchant = Merchant::with(TestSimulator::start_with(settings).await);
        assert_eq!(query_as(&merchant, TEST.merchant_serial).await, found);
        assert_eq!(query_as(&merchant, &lower).await, refused);
        merchant.settings(r#"{"anySerialCase":true}"#).await;
        assert_eq!(query_as(&merchant, &lower).await, found);
        let other = "0".repeat(40);
        assert_eq!(query_as(&merchant, &other).await, refused);
    }
}

#[tokio::test]
async fn numbers_in_paths_are_validated() {
    let merchant = Merchant::start().await;
    let mch_id = TEST.mch_id;
    for number in ["short", "T%20000001", &"x".repeat(33)] {
        let url = format!("/v3/pay/transactions/out-trade-no/{number}?mchid={mch_id}");
        let queried = merchant.get(&url).await;
        assert_eq!(queried.error(), (400, "PARAM_ERROR"), "{number}");
        assert_eq!(queried.json["detail"]["location"], "url");
        let closed = merchant.close(number).await;
        assert_eq!(closed.error(), (400, "PARAM_ERROR"), "{number}");
    }
    let url = format!("/v3/refund/domestic/refunds/{}", "x".repeat(65));
    assert_eq!(merchant.get(&url).await.error(), (400, "PARAM_ERROR"));
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_have_empty_responses() {
    let merchant = Merchant::start().await;
    for (method, url, status) in [
        (Method::GET, JSAPI, 405),
        (Method::POST, "/v3/certificates", 405),
        (Method::GET, "/v3/pay/nothing", 404),
    ] {
        let reply = merchant.try_send(method, url, b"").await.unwrap();
        assert_eq!((reply.status, reply.bytes.len()), (status, 0), "{url}");
    }
}

#[tokio::test]
async fn order_request_is_validated() {
    let merchant = Merchant::start().await;
    let long = |count: usize| json!("x".repeat(count));
    let cases = [
        ("/appid", Value::Null),
        ("/appid", json!("wxffffffffffffffff")),
        ("/mchid", json!("1900099999")),
        ("/description", json!("")),
        ("/description", long(128)),
        ("/description", json!("a gift 🎁")),
        ("/out_trade_no", json!("12345")),
        ("/out_trade_no", long(33)),
        ("/out_trade_no", json!("no spaces")),
        ("/time_expire", json!("2026-01-01 08:30:00")),
        ("/time_expire", json!("2026-01-01T08:30:00")),
        ("/time_expire", json!("2999-01-01T08:30:00+08:00")),
        ("/attach", long(129)),
        ("/attach", Value::Null),
        ("/notify_url", json!("/notify")),
        ("/notify_url", json!("http://example.test")),
        ("/notify_url", json!("http://example.test/a?b=c")),
        ("/support_fapiao", json!("yes")),
        ("/amount", json!(648)),
        ("/amount/total", json!(0)),
        ("/amount/total", json!(-1)),
        ("/amount/total", json!(6.48)),
        ("/amount/total", json!("648")),
        ("/amount/total", json!(i64::MAX)),
        ("/amount/currency", json!("USD")),
        ("/amount/fee", json!(1)),
        ("/payer/openid", json!("alice")),
        ("/payer/sub_openid", json!("x")),
        ("/detail", json!({"goods_detail": []})),
        (
            "/detail",
            json!({"goods_detail": [{"merchant_goods_id": "a"}]}),
        ),
        ("/scene_info", json!({})),
        ("/scene_info", json!({"payer_client_ip": "here"})),
        ("/unknown", json!(1)),
    ];
    for (pointer, value) in cases {
        let mut body = order("T-000001", 648);
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value.clone();
        let reply = merchant.order(&body).await;
        let code = match (pointer, &value) {
            ("/appid", Value::String(_)) => "APPID_MCHID_NOT_MATCH",
            _ => "PARAM_ERROR",
        };
        assert_eq!(reply.error(), (400, code), "{pointer} {value}");
    }
    for missing in [
        "appid",
        "mchid",
        "description",
        "out_trade_no",
        "notify_url",
        "amount",
        "payer",
    ] {
        let mut body = order("T-000001", 648);
        body.as_object_mut().unwrap().remove(missing);
        assert_eq!(
            merchant.order(&body).await.error(),
            (400, "PARAM_ERROR"),
            "{missing}"
        );
    }
    for broken in [b"{".as_slice(), b"[]", b"\"\xff\""] {
        let reply = merchant.send(Method::POST, JSAPI, broken).await;
        assert_eq!(reply.error(), (400, "PARAM_ERROR"));
    }
    assert_eq!(
        merchant.query("T-000001").await.error(),
        (404, "ORDER_NOT_EXIST")
    );
}

#[tokio::test]
async fn order_with_all_fields_is_accepted() {
    let merchant = Merchant::start().await;
    let mut body = order("T_-|*0001", 1);
    body["goods_tag"] = json!("WXG");
    body["support_fapiao"] = json!(true);
    body["settle_info"] = json!({"profit_sharing": false});
    body["detail"] = json!({
        "cost_price": 2,
        "invoice_id": "i",
        "goods_detail": [{
            "merchant_goods_id": "stardust-1",
            "goods_name": "星尘",
            "quantity": 1,
            "unit_price": 1,
        }],
    });
    body["scene_info"] = json!({
        "payer_client_ip": "2001:db8::1",
        "device_id": "013467007045764",
        "store_info": {"id": "1"},
    });
    merchant.order(&body).await.ok();
    let queried = merchant.query("T_-%7C*0001").await.ok();
    assert_eq!(queried["out_trade_no"], "T_-|*0001");
    assert_eq!(queried["scene_info"]["device_id"], "013467007045764");
}

#[tokio::test]
async fn mchid_of_a_query_is_validated() {
    let merchant = Merchant::start().await;
    let url = "/v3/pay/transactions/out-trade-no/T-000001";
    for query in ["", "?mchid=1900099999", "?mchid=1900012345&more=1"] {
        let reply = merchant.get(&format!("{url}{query}")).await;
        assert_eq!(reply.error(), (400, "PARAM_ERROR"), "{query}");
    }
    assert_eq!(TEST.mch_id, "1900012345");
}
