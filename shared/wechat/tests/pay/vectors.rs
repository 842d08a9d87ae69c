//! The test vectors: invented keys and data for tests only.

use std::sync::LazyLock;

use avalon_wechat::AppId;
use avalon_wechat::pay::{
    ApiV3Key, KeyRing, MchId, PlatformCertificate, PlatformPublicKey, Serial, SignatureHeaders,
    Signer,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::Value;

pub(crate) static VECTORS: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../vectors/pay-v3.json")).expect("the vectors are JSON")
});

pub(crate) fn cases(name: &str) -> &'static [Value] {
    VECTORS[name].as_array().expect(name)
}

pub(crate) fn text(value: &'static Value) -> &'static str {
    value.as_str().expect("a text")
}

pub(crate) fn merchant(field: &str) -> &'static str {
    text(&VECTORS["keys"]["merchant"][field])
}

pub(crate) fn app_id() -> AppId {
    AppId::new(merchant("appid"))
}

pub(crate) fn api_v3_key() -> ApiV3Key {
    ApiV3Key::parse(text(&VECTORS["keys"]["apiv3_key"])).unwrap()
}

pub(crate) fn signer() -> Signer {
    Signer::new(
        MchId::new(merchant("mchid")),
        Serial::new(merchant("certificate_serial_no")),
        &merchant("private_key_pkcs8_pem").into(),
    )
    .unwrap()
}

pub(crate) fn public_key() -> PlatformPublicKey {
    let key = &VECTORS["keys"]["platform_public_key_mode"];
    PlatformPublicKey {
        id: Serial::new(text(&key["public_key_id"])),
        pem: text(&key["public_key_spki_pem"]).to_owned(),
    }
}

/// Creates a ring with the public key and both certificates.
pub(crate) fn full_ring() -> KeyRing {
    let ring = KeyRing::new(Some(&public_key())).unwrap();
    let download = &VECTORS["certificates_download"];
    let list = PlatformCertificate::read_list(&api_v3_key(), &body(download)).unwrap();
    ring.install(list, at(download));
    ring
}

pub(crate) fn body(case: &'static Value) -> Vec<u8> {
    BASE64_STANDARD.decode(text(&case["body_b64"])).unwrap()
}

pub(crate) fn at(case: &Value) -> Timestamp {
    Timestamp::from_second(case["verify_at"].as_i64().unwrap()).unwrap()
}

pub(crate) fn headers(case: &Value) -> SignatureHeaders {
    let header = |name: &str| case["headers"][name].as_str().map(str::to_owned);
    SignatureHeaders {
        timestamp: header("Wechatpay-Timestamp"),
        nonce: header("Wechatpay-Nonce"),
        signature: header("Wechatpay-Signature"),
        serial: header("Wechatpay-Serial"),
        signature_type: header("Wechatpay-Signature-Type"),
    }
}
