//! Callbacks of the test vectors: valid ones, invalid ones, and those that differ from the order.

use avalon_wechat::pay::{
    ApiV3Key, Event, Fen, Notification, OpenError, RefundState, TradeState, VerifyError,
};
use serde_json::Value;

use crate::vectors::*;

fn open(case: &'static Value) -> Notification {
    assert_eq!(
        full_ring().verify(&headers(case), &body(case), at(case)),
        Ok(())
    );
    let notification = Notification::open(&api_v3_key(), &body(case)).unwrap();
    assert_eq!(notification.plaintext, text(&case["plaintext"]).as_bytes());
    notification
}

#[test]
fn valid_callbacks_are_decrypted() {
    for case in cases("notifications") {
        let notification = open(case);
        assert!(notification.id.is_some() && notification.create_time.is_some());
        match notification.event {
            Event::Transaction(transaction) => {
                assert_eq!(transaction.mch_id, merchant("mchid"));
                assert_eq!(transaction.app_id, merchant("appid"));
                assert_eq!(transaction.out_trade_no, "T20260101-000001");
                assert_eq!(transaction.trade_state, TradeState::Success);
                assert_eq!(transaction.amount.total, Fen::new(648).unwrap());
                assert_eq!(transaction.payer().unwrap().as_str(), merchant("openid"));
                assert_eq!(
                    transaction.success_time,
                    "2026-01-01T00:01:40Z".parse().ok()
                );
            }
            Event::Refund(refund) => {
                assert_eq!(refund.state, RefundState::Success);
                assert_eq!(refund.out_refund_no, "R20260101-000001");
                assert_eq!(refund.amount.refund, Fen::new(300).unwrap());
            }
            Event::Unknown => panic!("{}", case["name"]),
        }
    }
}

#[test]
fn both_keys_decrypt_during_an_apiv3_key_change() {
    let other = ApiV3Key::parse("0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0v").unwrap();
    let case = body(&cases("notifications")[0]);
    for changing in [
        other.clone().replacing(&api_v3_key()),
        api_v3_key().replacing(&other),
    ] {
        assert!(Notification::open(&changing, &case).is_ok());
    }
    assert_eq!(
        Notification::open(&other.clone().replacing(&other), &case).unwrap_err(),
        OpenError::Decrypt
    );
}

#[test]
fn valid_callbacks_expose_differences_from_the_order() {
    for case in cases("business_notifications") {
        let event = open(case).event;
        let name = text(&case["name"]);
        let Event::Transaction(transaction) = event else {
            assert_eq!(name, "unknown_event_type");
            continue;
        };
        let as_ordered = transaction.mch_id == merchant("mchid")
            && transaction.app_id == merchant("appid")
            && transaction.out_trade_no == "T20260101-000001"
            && transaction.trade_state.is_paid()
            && transaction.amount.total == Fen::new(648).unwrap();
        assert_eq!(
            as_ordered,
            name == "coupon_used_payer_total_lower",
            "{name}"
        );
    }
}

/// Returns the first failing step, by its name in the vectors.
fn fails_at(case: &'static Value) -> &'static str {
    let key = case["apiv3_key_to_use"].as_str();
    let Ok(key) = key.map_or_else(|| Ok(api_v3_key()), ApiV3Key::parse) else {
        return "config";
    };
    match full_ring().verify(&headers(case), &body(case), at(case)) {
        Ok(()) => {}
        Err(VerifyError::MissingHeader(_) | VerifyError::UnknownSignatureType) => return "headers",
        Err(VerifyError::BadTimestamp | VerifyError::Stale(_)) => return "timestamp",
        Err(VerifyError::UnknownSerial(_) | VerifyError::Implausible(_)) => return "serial",
        Err(VerifyError::SignTest | VerifyError::BadBase64 | VerifyError::BadSignature) => {
            return "signature";
        }
    }
    match Notification::open(&key, &body(case)) {
        Ok(_) => "none",
        Err(_) => "decrypt",
    }
}

#[test]
fn each_invalid_callback_fails_at_the_expected_step() {
    let cases = cases("negative_notifications");
    assert_eq!(cases.len(), 43);
    for case in cases {
        let expected = match text(&case["fails_at"]) {
            // Exactly at the edge of the window, which is inclusive here.
            "implementation-defined" => "none",
            step => step,
        };
        assert_eq!(fails_at(case), expected, "{}", case["name"]);
    }
}

#[test]
fn each_cause_has_its_own_error() {
    let case = |name: &str| {
        let mut cases = cases("negative_notifications").iter();
        cases.find(|case| case["name"] == name).expect(name)
    };
    let verify = |name| {
        let case = case(name);
        full_ring()
            .verify(&headers(case), &body(case), at(case))
            .unwrap_err()
    };
    for (name, cause) in [
        (
            "missing_wechatpay_nonce",
            VerifyError::MissingHeader("Wechatpay-Nonce"),
        ),
        (
            "empty_signature",
            VerifyError::MissingHeader("Wechatpay-Signature"),
        ),
        (
            "unsupported_signature_type",
            VerifyError::UnknownSignatureType,
        ),
        ("timestamp_not_numeric", VerifyError::BadTimestamp),
        ("timestamp_negative", VerifyError::BadTimestamp),
        ("future_timestamp_301s", VerifyError::Stale(301)),
        ("signtest_probe_undecodable", VerifyError::SignTest),
        ("signtest_probe_decodable", VerifyError::SignTest),
        ("signature_not_base64", VerifyError::BadBase64),
        ("signature_truncated", VerifyError::BadSignature),
        ("signed_with_pss", VerifyError::BadSignature),
    ] {
        assert_eq!(verify(name), cause, "{name}");
    }
    let open = |name| Notification::open(&api_v3_key(), &body(case(name))).unwrap_err();
    for (name, cause) in [
        ("tag_missing", OpenError::Decrypt),
        ("ciphertext_shorter_than_tag", OpenError::TooShort),
        ("wrong_associated_data", OpenError::Decrypt),
        ("associated_data_absent", OpenError::Decrypt),
        ("resource_nonce_wrong_length", OpenError::NonceLength),
        ("ciphertext_not_base64", OpenError::Base64),
        ("unsupported_algorithm", OpenError::Algorithm),
    ] {
        assert_eq!(open(name), cause, "{name}");
    }
}
