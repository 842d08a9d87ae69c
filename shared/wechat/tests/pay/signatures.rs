//! Signing and verification of the test vectors.

use avalon_wechat::pay::{
    CallbackVerdict, KeyRing, PlatformCertificate, PrepayId, Serial, VerifyError,
};
use jiff::Timestamp;

use crate::vectors::*;

fn second(text: &str) -> Timestamp {
    Timestamp::from_second(text.parse().unwrap()).unwrap()
}

#[test]
fn request_signatures_match_the_vectors() {
    for case in cases("request_signing") {
        let authorization = signer()
            .authorization(
                text(&case["method"]),
                text(&case["url_path_and_query"]),
                &body(case),
                second(text(&case["timestamp"])),
                text(&case["nonce_str"]),
            )
            .unwrap();
        assert_eq!(
            authorization,
            text(&case["authorization"]),
            "{}",
            case["name"]
        );
    }
}

#[test]
fn payment_signatures_match_the_vectors() {
    for case in cases("pay_sign") {
        let inputs = &case["inputs"];
        let params = signer()
            .pay_sign(
                &app_id(),
                &PrepayId::new(text(&inputs["prepay_id"])),
                second(text(&inputs["timeStamp"])),
                text(&inputs["nonceStr"]),
            )
            .unwrap();
        assert_eq!(serde_json::to_value(params).unwrap(), case["client_params"]);
    }
}

#[test]
fn responses_verify_in_both_modes() {
    let ring = full_ring();
    for case in cases("response_verification") {
        let result = ring.verify(&headers(case), &body(case), at(case));
        assert_eq!(result, Ok(()), "{}", case["name"]);
    }
}

#[test]
fn first_certificate_list_verifies_by_itself() {
    let download = &VECTORS["certificates_download"];
    let list = PlatformCertificate::read_list(&api_v3_key(), &body(download)).unwrap();
    let expected = download["decrypted_pem_by_serial"].as_object().unwrap();
    assert_eq!(list.len(), expected.len());
    for certificate in &list {
        assert!(expected.contains_key(certificate.serial.as_str()));
    }
    let expires: Timestamp = "2030-06-01T08:00:00+08:00".parse().unwrap();
    assert_eq!(list[0].expires, Some(expires));
    assert_eq!(list[0].effective, "2025-06-01T08:00:00+08:00".parse().ok());

    let ring = KeyRing::new(None).unwrap();
    ring.install(list, at(download));
    assert_eq!(
        ring.verify(&headers(download), &body(download), at(download)),
        Ok(())
    );
    assert_eq!(ring.known_serials().len(), 2);
}

#[test]
fn expired_certificate_does_not_verify() {
    let case = &cases("notifications")[1];
    let serial = Serial::new(text(&case["headers"]["Wechatpay-Serial"]));
    let ring = full_ring();
    assert_eq!(ring.verify(&headers(case), &body(case), at(case)), Ok(()));

    let later: Timestamp = "2030-06-01T00:00:01Z".parse().unwrap();
    let mut fresh = headers(case);
    fresh.timestamp = Some(later.as_second().to_string());
    let unknown = Err(VerifyError::UnknownSerial(serial));
    assert_eq!(ring.verify(&fresh, &body(case), later), unknown);
    // The next refresh drops it.
    ring.install(Vec::new(), later);
    assert_eq!(ring.known_serials().len(), 2);
}

#[test]
fn check_callback_separates_unknown_keys_from_forgeries() {
    let case = &cases("notifications")[0];
    let (mut headers, body, now) = (headers(case), body(case), at(case));
    let ring = full_ring();
    assert_eq!(
        ring.check_callback(&headers, &body, now),
        CallbackVerdict::Verified
    );
    let rejected = CallbackVerdict::Rejected(VerifyError::BadSignature);
    assert_eq!(ring.check_callback(&headers, b"{}", now), rejected);

    headers.serial = Some("7F".repeat(20));
    let unknown = CallbackVerdict::UnknownSerial(Serial::new("7F".repeat(20)));
    assert_eq!(ring.check_callback(&headers, &body, now), unknown);
    // No key can make these valid, so they are rejected despite the unknown serial.
    headers.signature = Some("WECHATPAY/SIGNTEST/abc".to_owned());
    let probe = CallbackVerdict::Rejected(VerifyError::SignTest);
    assert_eq!(ring.check_callback(&headers, &body, now), probe);
    headers.signature = Some("no base64!".to_owned());
    let garbage = CallbackVerdict::Rejected(VerifyError::BadBase64);
    assert_eq!(ring.check_callback(&headers, &body, now), garbage);
}
