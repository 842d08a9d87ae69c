//! The merchant's side of signatures and encryption, independent of the simulator's code.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::merchant::TEST;

/// The first bytes of the public key in a 2048-bit RSA certificate.
const SPKI_HEAD: [u8; 24] = [
    0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01,
    0x01, 0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00,
];
const SPKI_LENGTH: usize = 294;

/// Returns the serial of the key that signed the body; panics on a wrong signature.
pub(crate) fn expect_signer(headers: &HeaderMap, body: &[u8]) -> String {
    verify(headers, body).unwrap()
}

/// Returns the serial of the key that signed the body, or an error. Ignores the timestamp.
pub(crate) fn verify(headers: &HeaderMap, body: &[u8]) -> Result<String, &'static str> {
    let header = |name: &str| {
        let value = headers.get(name).ok_or("a header is missing")?;
        value.to_str().map_err(|_| "a header is not text")
    };
    let (time, nonce) = (header("wechatpay-timestamp")?, header("wechatpay-nonce")?);
    assert_eq!(nonce.len(), 32);
    assert_eq!(
        header("wechatpay-signature-type")?,
        "WECHATPAY2-SHA256-RSA2048"
    );
    let serial = header("wechatpay-serial")?;
    let key = platform_key(serial).ok_or("unknown serial")?;
    let signature = header("wechatpay-signature")?;
    assert_eq!(signature.len(), 344);
    let signature = STANDARD.decode(signature).map_err(|_| "not base64")?;
    let head = format!("{time}\n{nonce}\n");
    let message = [head.as_bytes(), body, b"\n"].concat();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
        .verify(&message, &signature)
        .map_err(|_| "wrong signature")?;
    Ok(serial.to_owned())
}

/// Returns a key of the platform in DER (SPKI).
pub(crate) fn platform_key(serial: &str) -> Option<Vec<u8>> {
    if serial == TEST.platform_public_key_id {
        let pem = pem::parse(TEST.platform_public_key).unwrap();
        return Some(pem.into_contents());
    }
    let index = TEST
        .platform_serials
        .iter()
        .position(|known| *known == serial)?;
    Some(public_key(TEST.platform_certificates[index]))
}

fn public_key(certificate: &str) -> Vec<u8> {
    let der = pem::parse(certificate).unwrap().into_contents();
    let start = der
        .windows(SPKI_HEAD.len())
        .position(|window| window == SPKI_HEAD)
        .unwrap();
    der[start..start + SPKI_LENGTH].to_vec()
}

/// Decrypts a resource; none if it is not encrypted for this merchant.
pub(crate) fn decrypt(resource: &Value) -> Option<Vec<u8>> {
    let text = |name: &str| resource[name].as_str().unwrap();
    assert_eq!(text("algorithm"), "AEAD_AES_256_GCM");
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, TEST.api_v3_key.as_bytes()).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(text("nonce").as_bytes()).unwrap();
    let mut sealed = STANDARD.decode(text("ciphertext")).unwrap();
    key.open_in_place(nonce, Aad::from(text("associated_data")), &mut sealed)
        .map(|plain| plain.to_vec())
        .ok()
}
