//! The trade bill: parsing the test vectors, and downloading.

use avalon_wechat::pay::{Fen, InvalidBill, PayError, TradeBill, TradeState};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::civil::date;
use serde_json::json;

use crate::platform::{Platform, Reply};
use crate::vectors::*;

fn plain() -> Vec<u8> {
    text(&VECTORS["trade_bill"]["plain_csv"])
        .as_bytes()
        .to_vec()
}

fn gzipped() -> Vec<u8> {
    BASE64_STANDARD
        .decode(text(&VECTORS["trade_bill"]["gzip_b64"]))
        .unwrap()
}

fn hash() -> &'static str {
    text(&VECTORS["trade_bill"]["apply_response"]["hash_value"])
}

#[test]
fn gzipped_and_plain_bills_are_parsed() {
    let bill = TradeBill::read(&gzipped(), hash()).unwrap();
    assert_eq!(TradeBill::read(&plain(), hash()).unwrap(), bill);
    let fen = |fen| Fen::new(fen).unwrap();
    assert_eq!((bill.rows.len(), bill.summary.count), (2, 2));
    assert_eq!(
        (bill.summary.order_amount, bill.summary.refund_amount),
        (fen(648), fen(300))
    );

    let [payment, refund] = &bill.rows[..] else {
        panic!("two rows");
    };
    assert_eq!(payment.time, "2026-01-01T00:01:40Z".parse().unwrap());
    assert_eq!(payment.out_trade_no, "T20260101-000001");
    assert_eq!(payment.open_id, merchant("openid"));
    assert_eq!(
        (payment.order_amount, payment.refund_amount),
        (fen(648), Fen::ZERO)
    );
    assert_eq!(
        (&payment.refund_id, &payment.state),
        (&None, &TradeState::Success)
    );
    assert_eq!(payment.fee_milli_fen, 4_000);
    assert_eq!(refund.out_refund_no.as_deref(), Some("R20260101-000001"));
    assert_eq!(
        (refund.order_amount, refund.refund_amount),
        (Fen::ZERO, fen(300))
    );
    assert_eq!(
        (refund.fee_milli_fen, &refund.state),
        (-2_000, &TradeState::Refund)
    );
}

#[test]
fn bill_with_a_wrong_hash_or_broken_gzip_is_rejected() {
    let mut other = plain();
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(TradeBill::read(&other, hash()), Err(InvalidBill::Hash));
    assert_eq!(TradeBill::read(&plain(), "zz"), Err(InvalidBill::Hash));
    let mut cut = gzipped();
    cut.truncate(100);
    assert_eq!(TradeBill::read(&cut, hash()), Err(InvalidBill::Decompress));
}

#[test]
fn bill_with_an_invalid_format_is_rejected() {
    let read = |text: &str| {
        let sha1 = aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
            text.as_bytes(),
        );
        TradeBill::read(text.as_bytes(), &hex::encode(sha1)).unwrap_err()
    };
    let text = String::from_utf8(plain()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(read(""), InvalidBill::Format);
    assert_eq!(read(&lines[..3].join("\n")), InvalidBill::Format);
    assert_eq!(read(&text.replace("订单金额", "金额")), InvalidBill::Column);
    assert_eq!(
        read(&text.replace("`6.48,", "`6.4800001,")),
        InvalidBill::Value
    );
    let fewer = [&lines[..1], &lines[2..]].concat().join("\r\n");
    assert_eq!(read(&fewer), InvalidBill::Count);
}

#[tokio::test]
async fn bill_is_fetched_in_two_steps() {
    let platform = Platform::new(|request| match request.path() {
        "/v3/bill/tradebill" => {
            assert_eq!(
                request.query(),
                "bill_date=2026-01-01&bill_type=ALL&tar_type=GZIP"
            );
            let url = format!(
                "http://{}/v3/billdownload/file?token=aB_1-x",
                request.host()
            );
            let link = json!({"hash_type": "SHA1", "hash_value": hash(), "download_url": url});
            Reply::signed(200, link.to_string())
        }
        "/v3/billdownload/file" => {
            assert_eq!(request.query(), "token=aB_1-x");
            Reply::unsigned(200, gzipped())
        }
        other => panic!("{other}"),
    })
    .await;
    let bill = platform
        .client
        .trade_bill(date(2026, 1, 1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(bill.rows.len(), 2);
}

#[tokio::test]
async fn day_without_payments_has_no_bill() {
    let platform = Platform::new(|_| Reply::error(400, "NO_STATEMENT_EXIST")).await;
    assert!(
        platform
            .client
            .trade_bill(date(2026, 1, 1))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn downloaded_file_with_a_wrong_hash_is_rejected() {
    let platform = Platform::new(|request| match request.path() {
        "/v3/bill/tradebill" => {
            let url = format!("http://{}/file", request.host());
            let link = json!({"hash_type": "SHA1", "hash_value": "00", "download_url": url});
            Reply::signed(200, link.to_string())
        }
        _ => Reply::unsigned(200, gzipped()),
    })
    .await;
    let error = platform
        .client
        .trade_bill(date(2026, 1, 1))
        .await
        .unwrap_err();
    assert!(matches!(error, PayError::Malformed { .. }), "{error}");
}
