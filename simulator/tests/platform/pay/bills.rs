//! Trade bills: availability, content and download.

use std::io::Read;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use flate2::read::GzDecoder;
use jiff::Timestamp;
use jiff::tz::Offset;

use super::merchant::{Merchant, Reply, order, refund};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Returns the seconds from now to the next midnight in Beijing.
fn to_midnight() -> i64 {
    DAY - (Timestamp::now().as_second() + 8 * HOUR).rem_euclid(DAY)
}

/// Starts a merchant at noon in Beijing, so that no test passes midnight.
async fn at_noon() -> Merchant {
    let mut merchant = Merchant::start().await;
    merchant.move_clocks(to_midnight() + 12 * HOUR).await;
    merchant
}

/// Returns the merchant's date in Beijing, offset by a number of days.
fn date(merchant: &Merchant, days: i64) -> String {
    let second = Timestamp::now().as_second() + merchant.skew + days * DAY;
    let time = Timestamp::from_second(second).unwrap();
    Offset::constant(8).to_datetime(time).date().to_string()
}

/// Requests a bill and downloads it.
async fn download(merchant: &Merchant, query: &str) -> Reply {
    let url = format!("/v3/bill/tradebill?bill_date={}{query}", date(merchant, 0));
    let response = merchant.get(&url).await.ok();
    assert_eq!(response["hash_type"], "SHA1");
    let url = response["download_url"].as_str().unwrap();
    let url = url.strip_prefix(&merchant.sim.base).unwrap();
    let mut reply = merchant
        .try_send(reqwest::Method::GET, url, b"")
        .await
        .unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers.get("wechatpay-signature"), None);
    let is_gzip = query.contains("GZIP");
    let content_type = if is_gzip {
        "application/x-gzip"
    } else {
        "text/plain"
    };
    assert_eq!(reply.headers["content-type"], content_type);
    if is_gzip {
        let mut plain = Vec::new();
        GzDecoder::new(reply.bytes.as_slice())
            .read_to_end(&mut plain)
            .unwrap();
        reply.bytes = plain;
    }
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &reply.bytes);
    assert_eq!(response["hash_value"], hex::encode(hash));
    reply
}

#[tokio::test]
async fn bill_lists_the_payments_and_refunds_of_a_day() {
    let merchant = at_noon().await;
    merchant.settings(r#"{"billsAtOnce":true}"#).await;
    let mut body = order("T-000001", 648);
    body["description"] = "dust, much\nof it".into();
    merchant.order(&body).await.ok();
    merchant
        .control("/orders/T-000001/pay", r#"{"notify":false}"#)
        .await;
    merchant.paid("T-000002", 100_000).await;
    merchant
        .refund(&refund("R-1", "T-000001", 300, 648))
        .await
        .ok();

    let plain = download(&merchant, "").await.bytes;
    assert_eq!(download(&merchant, "&tar_type=GZIP").await.bytes, plain);
    let text = String::from_utf8(plain).unwrap();
    let lines: Vec<_> = text.strip_suffix("\r\n").unwrap().split("\r\n").collect();
    assert_eq!(lines.len(), 6);
    assert!(lines[0].starts_with("\u{feff}交易时间,公众账号ID,商户号,"));
    for line in &lines[..4] {
        assert_eq!(line.split(',').count(), 27, "{line}");
    }
    assert!(lines[1].contains("`dust\\  much\\nof it"), "{}", lines[1]);
    assert!(lines[1].contains("`T-000001") && lines[1].contains("`SUCCESS"));
    assert!(
        lines[1].ends_with("`0.04000,`0.60%,`6.48,`0.00,`"),
        "{}",
        lines[1]
    );
    assert!(lines[3].contains("`R-1,`3.00") && lines[3].contains("`REFUND"));
    assert_eq!(lines[5], "`3,`1006.48,`3.00,`0.00,`6.02000,`1006.48,`3.00");

    let payments = download(&merchant, "&bill_type=SUCCESS").await.bytes;
    let payments = String::from_utf8(payments).unwrap();
    assert!(!payments.contains("微信退款单号") && !payments.contains("R-1"));
    let refunds = download(&merchant, "&bill_type=REFUND").await.bytes;
    let refunds = String::from_utf8(refunds).unwrap();
    assert!(refunds.contains("退款申请时间") && !refunds.contains("T-000002"));
}

#[tokio::test]
async fn bill_is_available_next_morning_unless_empty() {
    let mut merchant = at_noon().await;
    merchant.paid("T-000001", 648).await;
    let ask = |day: String| format!("/v3/bill/tradebill?bill_date={day}");
    let the_day = date(&merchant, 0);
    let today = merchant.get(&ask(the_day.clone())).await;
    assert_eq!(today.error(), (400, "PARAM_ERROR"));
    let noon = merchant.skew;
    merchant.move_clocks(noon + 21 * HOUR - 60).await;
    let early = merchant.get(&ask(the_day.clone())).await;
    assert_eq!(early.error(), (400, "STATEMENT_CREATING"));
    merchant.move_clocks(noon + 21 * HOUR).await;
    merchant.get(&ask(the_day)).await.ok();
    let before = merchant.get(&ask(date(&merchant, -2))).await;
    assert_eq!(before.error(), (400, "NO_STATEMENT_EXIST"));
    let long_ago = merchant.get(&ask(date(&merchant, -100))).await;
    assert_eq!(long_ago.error(), (400, "PARAM_ERROR"));
    for wrong in ["2026-1-1", "today", ""] {
        let reply = merchant.get(&ask(wrong.to_owned())).await;
        assert_eq!(reply.error(), (400, "PARAM_ERROR"), "{wrong}");
    }
}

#[tokio::test]
async fn download_url_expires_after_five_minutes() {
    let mut merchant = at_noon().await;
    merchant.settings(r#"{"billsAtOnce":true}"#).await;
    merchant.paid("T-000001", 648).await;
    let ask = format!("/v3/bill/tradebill?bill_date={}", date(&merchant, 0));
    let response = merchant.get(&ask).await.ok();
    let url = response["download_url"].as_str().unwrap();
    let url = url.strip_prefix(&merchant.sim.base).unwrap();
    merchant.move_clocks(merchant.skew + 301).await;
    assert_eq!(merchant.get(url).await.error(), (400, "INVALID_REQUEST"));
}
