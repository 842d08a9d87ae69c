//! The `Wechatpay-*` headers of a callback: five lines of input, then the body.
#![no_main]

use std::sync::LazyLock;

use avalon_wechat::pay::{KeyRing, PlatformPublicKey, Serial, SignatureHeaders};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

/// Public key of the simulator; its private key is public as well.
const PLATFORM_KEY: &str =
    include_str!("../../simulator/src/pay/test_keys/platform_public_key.pem");

static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let key = PlatformPublicKey {
        id: Serial::new("PUB_KEY_ID_0119000123452026010100000000000001"),
        pem: PLATFORM_KEY.to_owned(),
    };
    KeyRing::new(Some(&key)).unwrap()
});

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(6, |byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for name in [
        "timestamp",
        "nonce",
        "signature",
        "serial",
        "signature-type",
    ] {
        let value = parts.next().unwrap_or_default();
        let name = HeaderName::try_from(format!("wechatpay-{name}")).unwrap();
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(name, value);
        }
    }
    let body = parts.next().unwrap_or_default();
    let now = Timestamp::from_second(1_767_225_701).unwrap();
    let headers = SignatureHeaders::from_http(&headers);
    let verdict = RING.verify(&headers, body, now);
    // A malformed or stale timestamp is never accepted.
    if verdict.is_ok() {
        // Whitespace around a header value is not part of it.
        let at: i64 = headers.timestamp.unwrap().trim().parse().unwrap();
        assert!((now.as_second() - at).abs() <= avalon_wechat::pay::WINDOW_SECONDS);
    }
});
