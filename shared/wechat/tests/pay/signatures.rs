//! Signing and verifying, by the vectors.

use avalon_wechat::pay::{
    DoorVerdict, KeyRing, PlatformCertificate, PrepayId, Serial, VerifyError,
};
use jiff::Timestamp;

use crate::vectors::*;

fn second(text: &str) -> Timestamp {
    Timestamp::from_second(text.parse().unwrap()).unwrap()
}

#[test]
fn requests_are_signed_as_published() {
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
fn payments_are_signed_as_published() {
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
fn answers_verify_in_both_modes() {
    let ring = full_ring();
    for case in cases("response_verification") {
        let result = ring.verify(&headers(case), &body(case), at(case));
        assert_eq!(result, Ok(()), "{}", case["name"]);
    }
}

#[test]
fn the_first_list_of_certificates_verifies_by_itself() {
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
fn an_expired_certificate_verifies_nothing() {
    let case = &cases("notifications")[1];
    let serial = Serial::new(text(&case["headers"]["Wechatpay-Serial"]));
    let ring = full_ring();
    assert_eq!(ring.verify(&headers(case), &body(case), at(case)), Ok(()));

    let later: Timestamp = "2030-06-01T00:00:01Z".parse().unwrap();
    let mut fresh = headers(case);
    fresh.timestamp = Some(later.as_second().to_string());
    let unknown = Err(VerifyError::UnknownSerial(serial));
    assert_eq!(ring.verify(&fresh, &body(case), later), unknown);
    // And the next refresh drops it.
    ring.install(Vec::new(), later);
    assert_eq!(ring.known_serials().len(), 2);
}

#[test]
fn the_door_tells_unknown_keys_from_forgeries() {
    let case = &cases("notifications")[0];
    let (mut headers, body, now) = (headers(case), body(case), at(case));
    let ring = full_ring();
    assert_eq!(ring.check_door(&headers, &body, now), DoorVerdict::Verified);
    let refused = DoorVerdict::Refused(VerifyError::BadSignature);
    assert_eq!(ring.check_door(&headers, b"{}", now), refused);

    headers.serial = Some("7F".repeat(20));
    let unknown = DoorVerdict::UnknownSerial(Serial::new("7F".repeat(20)));
    assert_eq!(ring.check_door(&headers, &body, now), unknown);
    // No key could make these good, so an unknown one excuses nothing.
    headers.signature = Some("WECHATPAY/SIGNTEST/abc".to_owned());
    let probe = DoorVerdict::Refused(VerifyError::SignTest);
    assert_eq!(ring.check_door(&headers, &body, now), probe);
    headers.signature = Some("no base64!".to_owned());
    let garbage = DoorVerdict::Refused(VerifyError::BadBase64);
    assert_eq!(ring.check_door(&headers, &body, now), garbage);
}
