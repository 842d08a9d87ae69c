//! Faults and the request log apply to WeChat Pay too.

use jiff::Timestamp;
use jiff::tz::Offset;
use reqwest::Method;
use serde_json::{Value, json};

use super::merchant::{Merchant, order, refund};
use super::verification::verify;

#[tokio::test]
async fn injected_errors_have_pay_format_and_no_effect() {
    let merchant = Merchant::start().await;
    for (faults, expected) in [
        (json!({"errorRate": 1}), (500, "SYSTEM_ERROR")),
        (
            json!({"payError": "FREQUENCY_LIMITED", "api": "pay_jsapi"}),
            (429, "FREQUENCY_LIMITED"),
        ),
        (
            json!({"payError": "SERVICE_UNAVAILABLE", "api": "pay"}),
            (503, "SERVICE_UNAVAILABLE"),
        ),
    ] {
        merchant.sim.put("/faults", &faults.to_string()).await;
        let reply = merchant.order(&order("T-000001", 648)).await;
        assert_eq!(reply.error(), expected);
    }
    assert_eq!(
        merchant.sim.errcode("sim-alice").await,
        0,
        "only WeChat Pay fails"
    );
    merchant.sim.put("/faults", "{}").await;
    assert_eq!(
        merchant.query("T-000001").await.error(),
        (404, "ORDER_NOT_EXIST")
    );
}

#[tokio::test]
async fn outage_after_the_effect_keeps_the_effect() {
    let merchant = Merchant::start().await;
    let faults = r#"{"outage":"reset","outageAfter":true,"api":"pay_refund"}"#;
    merchant.paid("T-000001", 648).await;
    merchant.sim.put("/faults", faults).await;
    let body = refund("R-1", "T-000001", 648, 648).to_string();
    let url = "/v3/refund/domestic/refunds";
    let lost = merchant.try_send(Method::POST, url, body.as_bytes());
    assert!(lost.await.is_err());
    let found = merchant.get(&format!("{url}/R-1")).await.ok();
    assert_eq!(found["out_refund_no"], "R-1");
}

#[tokio::test]
async fn truncated_response_keeps_headers_of_the_whole() {
    let merchant = Merchant::start().await;
    let url = "/v3/pay/transactions/jsapi";
    let body = order("T-000001", 648).to_string();
    let post = || merchant.try_send(Method::POST, url, body.as_bytes());
    let faults = r#"{"outage":"truncated","outageAfter":true,"api":"pay"}"#;
    merchant.sim.put("/faults", faults).await;
    let cut = post().await.unwrap();
    assert_eq!((cut.status, cut.json), (200, Value::Null));
    assert_eq!(verify(&cut.headers, &cut.bytes), Err("wrong signature"));
    let not_found = merchant
        .try_send(Method::GET, "/v3/refund/domestic/refunds/R-1", b"")
        .await
        .unwrap();
    assert_eq!((not_found.status, not_found.json), (404, Value::Null));
    merchant.sim.put("/faults", "{}").await;

    let whole = post().await.unwrap();
    assert!(verify(&whole.headers, &whole.bytes).is_ok());
    assert_eq!(whole.bytes[..whole.bytes.len() / 2], cut.bytes[..]);
    let log = merchant.sim.get("/requests?api=pay_jsapi").await;
    let answers = [0, 1].map(|n| log["requests"][n]["answer"].clone());
    assert_eq!(answers, ["truncated", "http200"]);
}

#[tokio::test]
async fn truncated_bill_does_not_match_its_hash() {
    let merchant = Merchant::start().await;
    merchant.settings(r#"{"billsAtOnce":true}"#).await;
    merchant.paid("T-000001", 648).await;
    let today = Offset::constant(8).to_datetime(Timestamp::now()).date();
    let url = format!("/v3/bill/tradebill?bill_date={today}");
    let response = merchant.get(&url).await.ok();
    let url = response["download_url"].as_str().unwrap();
    let url = url.strip_prefix(&merchant.sim.base).unwrap();
    let download = || merchant.try_send(Method::GET, url, b"");
    let whole = download().await.unwrap().bytes;
    let faults = r#"{"outage":"truncated","api":"pay_bill"}"#;
    merchant.sim.put("/faults", faults).await;
    let cut = download().await.unwrap();
    assert_eq!(cut.status, 200);
    assert_eq!(cut.bytes[..], whole[..whole.len() / 2]);
}

#[tokio::test]
async fn truncated_response_without_effect_is_an_error() {
    let merchant = Merchant::start().await;
    let faults = r#"{"outage":"truncated","api":"pay_jsapi"}"#;
    merchant.sim.put("/faults", faults).await;
    let reply = merchant.order(&order("T-000001", 648)).await;
    assert_eq!((reply.status, &reply.json), (500, &Value::Null));
    assert!(reply.bytes.starts_with(b"{\"code\":"));
    let queried = merchant.query("T-000001").await;
    assert_eq!(queried.error(), (404, "ORDER_NOT_EXIST"));
}

#[tokio::test]
async fn requests_are_logged_by_api_with_their_codes() {
    let merchant = Merchant::start().await;
    merchant.order(&order("T-000001", 648)).await.ok();
    merchant.query("T-000002").await;
    merchant.close("T-000001").await;
    let list = merchant.sim.get("/requests").await;
    let logged: Vec<_> = list["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| [&entry["api"], &entry["answer"], &entry["code"]].map(ToOwned::to_owned))
        .collect();
    assert_eq!(
        json!(logged),
        json!([
            ["pay_jsapi", "http200", null],
            ["pay_query", "http404", "ORDER_NOT_EXIST"],
            ["pay_close", "http204", null],
        ])
    );
    let count = merchant.sim.get("/requests/count?api=pay_query").await;
    assert_eq!(count["count"], 1);
}
