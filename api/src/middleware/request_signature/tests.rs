//! Both versions of the signed text, and what their headers may be.

use super::*;

use SignatureVersion::{V1, V2};

const KEY: &[u8] = &[7; 32];
const AT: &str = "1795480952";

fn request<'a>(path_and_query: &'a str, body: &'a [u8]) -> SignedRequest<'a> {
    SignedRequest {
        method: "POST",
        path_and_query,
        idempotency_key: "use-1",
        body,
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(AT.parse().unwrap()).unwrap()
}

#[test]
fn signed_text_has_the_documented_form() {
    let request = request("/api/wx/consume?a=1", b"{}");
    let text = text_to_sign(V1, request, AT, "n-1");
    let body = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    assert_eq!(
        text,
        format!("POST\n/api/wx/consume?a=1\n1795480952\nn-1\n{body}")
    );
    assert_eq!(
        text_to_sign(V2, request, AT, "n-1"),
        format!("v2\nPOST\n/api/wx/consume?a=1\n1795480952\nn-1\nuse-1\n{body}")
    );
    // The vectors of docs/api.md.
    assert_eq!(
        sign(V1, KEY, request, AT, "n-1"),
        "yrU7IfYohbLaYKm7gyuSYCSQtD1f1Rn/fuLR4siaEic="
    );
    assert_eq!(
        sign(V2, KEY, request, AT, "n-1"),
        "v2,nprs6FqSd8tQZXQ7s6H0s06QFkG5KgJfg3O3WkoTKcQ="
    );
}

#[test]
fn version_2_covers_the_idempotency_key() {
    let good = request("/api/wx/consume", b"{}");
    let other_key = SignedRequest {
        idempotency_key: "use-2",
        ..good
    };
    let no_key = SignedRequest {
        idempotency_key: "",
        ..good
    };
    let check = |signature: &str, request| {
        RequestSignature::read(Some(AT), Some("n-1"), Some(signature), now())
            .and_then(|read| read.verify(KEY, request))
    };
    let signature = sign(V2, KEY, good, AT, "n-1");
    assert_eq!(check(&signature, good), Ok(()));
    for request in [other_key, no_key] {
        assert_eq!(check(&signature, request), Err(SignatureError::Wrong));
    }
    // Neither version's signature is one of the other.
    let bare = signature.strip_prefix("v2,").unwrap();
    assert_eq!(check(bare, good), Err(SignatureError::Wrong));
    let first = sign(V1, KEY, good, AT, "n-1");
    assert_eq!(check(&first, other_key), Ok(()));
    let raised = format!("v2,{first}");
    assert_eq!(check(&raised, good), Err(SignatureError::Wrong));
}

#[test]
fn signature_covers_every_part_of_the_request() {
    let good = request("/api/wx/consume?a=1", b"{}");
    for version in [V1, V2] {
        every_part_is_covered(version, good);
    }
}

fn every_part_is_covered(version: SignatureVersion, good: SignedRequest<'_>) {
    let signature = sign(version, KEY, good, AT, "n-1");
    let check = |key: &[u8], request, at, nonce| {
        RequestSignature::read(Some(at), Some(nonce), Some(&signature), now())
            .and_then(|read| read.verify(key, request))
    };
    assert_eq!(check(KEY, good, AT, "n-1"), Ok(()));
    let get = SignedRequest {
        method: "GET",
        ..good
    };
    for (request, at, nonce) in [
        (get, AT, "n-1"),
        (request("/api/wx/consum?a=1", b"{}"), AT, "n-1"),
        (request("/api/wx/consume?a=2", b"{}"), AT, "n-1"),
        (request("/api/wx/consume?a=1", b"{} "), AT, "n-1"),
        (good, "1795480953", "n-1"),
        (good, AT, "n-2"),
    ] {
        let refused = check(KEY, request, at, nonce);
        assert_eq!(refused, Err(SignatureError::Wrong), "{request:?}");
    }
    let other = check(&[8; 32], good, AT, "n-1");
    assert_eq!(other, Err(SignatureError::Wrong));
}

#[test]
fn timestamps_more_than_five_minutes_off_are_stale() {
    let read = |at: i64| {
        let (at, signature) = (at.to_string(), sign(V1, KEY, request("/", b""), AT, "n"));
        RequestSignature::read(Some(&at), Some("n"), Some(&signature), now()).map(|_| ())
    };
    let second = now().as_second();
    assert_eq!(read(second - 300), Ok(()));
    assert_eq!(read(second + 300), Ok(()));
    assert_eq!(read(second - 301), Err(SignatureError::Stale));
    assert_eq!(read(second + 301), Err(SignatureError::Stale));
}

#[test]
fn error_names_the_missing_or_malformed_header() {
    let good = sign(V1, KEY, request("/", b""), AT, "n");
    let read = |at: Option<&str>, nonce: Option<&str>, signature: Option<&str>| {
        match RequestSignature::read(at, nonce, signature, now()) {
            Err(SignatureError::Malformed(why)) => why.split(':').next().unwrap().to_owned(),
            other => format!("{:?}", other.map(|_| ())),
        }
    };
    let long = "n".repeat(129);
    for at in [
        None,
        Some(""),
        Some("soon"),
        Some("-5"),
        Some("1.5"),
        Some(" 1"),
    ] {
        assert_eq!(read(at, Some("n"), Some(&good)), "X-Avalon-Timestamp");
    }
    for nonce in [
        None,
        Some(""),
        Some("a b"),
        Some("a\nb"),
        Some(long.as_str()),
    ] {
        assert_eq!(read(Some(AT), nonce, Some(&good)), "X-Avalon-Nonce");
    }
    for signature in [
        None,
        Some(""),
        Some("!"),
        Some("AAAA"),
        Some("v2,"),
        Some("v3,AAAA"),
        Some(&good[1..]),
    ] {
        assert_eq!(read(Some(AT), Some("n"), signature), "X-Avalon-Signature");
    }
}
