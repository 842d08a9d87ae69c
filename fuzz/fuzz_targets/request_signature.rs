//! Headers of a signed request: timestamp, nonce, signature, method and path are lines of input, the
//! body is the rest.
#![no_main]

use avalon_api::request_signature::{
    RequestSignature, SignatureError, SignatureVersion, SignedRequest, sign,
};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

/// TEST KEY.
const KEY: &[u8] = &[7; 32];
const NOW: i64 = 1_795_480_952;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(6, |byte| *byte == b'\n');
    let mut next = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (time, nonce, signature, method, path) = (next(), next(), next(), next(), next());
    let body = parts.next().unwrap_or_default();
    let now = Timestamp::from_second(NOW).unwrap();
    let request = SignedRequest {
        method: &method,
        path_and_query: &path,
        idempotency_key: &nonce,
        body,
    };
    let read = |signature| RequestSignature::read(Some(&time), Some(&nonce), Some(signature), now);
    for version in [SignatureVersion::V1, SignatureVersion::V2] {
        let valid = sign(version, KEY, request, &time, &nonce);
        if let Ok(read) = read(&signature) {
            // Only one signature is accepted, in canonical base64.
            let accepted = read.verify(KEY, request).is_ok();
            let same_version = signature.starts_with("v2,") == (version == SignatureVersion::V2);
            assert!(!same_version || accepted == (signature == valid));
        }
        match read(&valid) {
            Ok(read) => {
                assert_eq!(read.verify(KEY, request), Ok(()));
                assert_eq!(read.verify(&[8; 32], request), Err(SignatureError::Wrong));
                let modified = SignedRequest {
                    body: &[body, b"x"].concat(),
                    ..request
                };
                assert_eq!(read.verify(KEY, modified), Err(SignatureError::Wrong));
                assert!(
                    time.parse::<i64>()
                        .is_ok_and(|time| NOW.abs_diff(time) <= 300)
                );
            }
            Err(error) => assert_ne!(error, SignatureError::Wrong),
        }
    }
});
