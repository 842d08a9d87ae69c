//! Faults and the request log apply to WeChat Pay too.

use serde_json::json;

use super::merchant::{Merchant, order, refund};

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
    let lost = merchant.try_send(reqwest::Method::POST, url, body.as_bytes());
    assert!(lost.await.is_err());
    let found = merchant.get(&format!("{url}/R-1")).await.ok();
    assert_eq!(found["out_refund_no"], "R-1");
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
