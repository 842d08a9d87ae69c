//! The keys of both sides: they verify requests, and sign and encrypt responses and callbacks. The
//! platform's own keys are constant test keys.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::answer::{ALPHANUMERIC, random_text};
use super::credentials::{PayCredentials, PayMerchant, PaySetupError};
use super::merchant_key;

pub(crate) struct Keys {
    /// Upper-case hex, as the certificate shows it, in whatever case it was configured.
    pub(crate) merchant_serial: String,
    merchant: ParsedPublicKey,
    api_v3: LessSafeKey,
    pub(crate) public_key: Signer,
    /// The older one first.
    pub(crate) certificates: [Certificate; 2],
}

/// A signing key of the platform, and its serial.
pub(crate) struct Signer {
    pub(crate) serial: &'static str,
    pair: KeyPair,
    decrypting: OaepPrivateDecryptingKey,
}

pub(crate) struct Certificate {
    pub(crate) signer: Signer,
    pub(crate) pem: &'static str,
    pub(crate) effective: &'static str,
    pub(crate) expires: &'static str,
}

impl Keys {
    pub(crate) fn new(merchant: &PayMerchant<'_>) -> Result<Self, PaySetupError> {
        let test = PayCredentials::TEST;
        let [serial_a, serial_b] = test.platform_serials;
        let [pem_a, pem_b] = test.platform_certificates;
        Ok(Self {
            merchant_serial: merchant.serial.to_ascii_uppercase(),
            merchant: merchant_key::parse(merchant.key)?,
            api_v3: aead_key(merchant.api_v3_key.as_bytes())
                .ok_or_else(|| PaySetupError("the APIv3 key must have 32 bytes".to_owned()))?,
            public_key: Signer::new(
                test.platform_public_key_id,
                include_str!("test_keys/platform_key.pem"),
            )?,
            certificates: [
                Certificate {
                    signer: Signer::new(serial_a, include_str!("test_keys/certificate_a_key.pem"))?,
                    pem: pem_a,
                    effective: "2025-06-01T08:00:00+08:00",
                    expires: "2030-06-01T08:00:00+08:00",
                },
                Certificate {
                    signer: Signer::new(serial_b, include_str!("test_keys/certificate_b_key.pem"))?,
                    pem: pem_b,
                    effective: "2026-01-10T08:00:00+08:00",
                    expires: "2031-01-10T08:00:00+08:00",
                },
            ],
        })
    }

    /// Whether `signature` is the merchant's base64 signature of the message.
    pub(crate) fn merchant_signed(&self, message: &[u8], signature: &str) -> bool {
        STANDARD
            .decode(signature)
            .is_ok_and(|signature| self.merchant.verify_sig(message, &signature).is_ok())
    }

    /// Encrypts a resource with the merchant's APIv3 key.
    pub(crate) fn encrypt(&self, plain: &[u8], associated_data: &str) -> Value {
        encrypt_resource(&self.api_v3, plain, associated_data)
    }
}

impl Signer {
    fn new(serial: &'static str, key: &str) -> Result<Self, PaySetupError> {
        let unusable = |error: &dyn std::error::Error| {
            PaySetupError(format!("the platform's key {serial}: {error}"))
        };
        let pem = pem::parse(key).map_err(|error| unusable(&error))?;
        let pair = KeyPair::from_pkcs8(pem.contents()).map_err(|error| unusable(&error))?;
        let decrypting = PrivateDecryptingKey::from_pkcs8(pem.contents())
            .map_err(|error| unusable(&error))
            .and_then(|key| OaepPrivateDecryptingKey::new(key).map_err(|error| unusable(&error)))?;
        Ok(Self {
            serial,
            pair,
            decrypting,
        })
    }

    /// Decrypts a field of a request: base64, RSA-OAEP with SHA-1. None if that fails.
    pub(crate) fn decrypt_field(&self, ciphertext: &str) -> Option<String> {
        let ciphertext = STANDARD.decode(ciphertext).ok()?;
        let mut plain = vec![0; self.decrypting.min_output_size()];
        let plain = self
            .decrypting
            .decrypt(&OAEP_SHA1_MGF1SHA1, &ciphertext, &mut plain, None)
            .ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }

    /// Returns the signature in base64.
    pub(crate) fn sign(&self, message: &[u8]) -> String {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = self.pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            message,
            &mut signature,
        );
        if signed.is_err() {
            // A 2048-bit RSA key can sign any message.
            tracing::error!(serial = self.serial, "signing failed");
        }
        STANDARD.encode(signature)
    }
}

/// Returns a key for [`encrypt_resource`]; none unless it has 32 bytes.
pub(crate) fn aead_key(bytes: &[u8]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, bytes)
        .ok()
        .map(LessSafeKey::new)
}

/// Encrypts a resource as callbacks and the list of certificates contain it.
pub(crate) fn encrypt_resource(key: &LessSafeKey, plain: &[u8], associated_data: &str) -> Value {
    let nonce = random_text::<12>(ALPHANUMERIC);
    let mut sealed = plain.to_vec();
    let mut bytes = [0; 12];
    bytes.copy_from_slice(nonce.as_bytes());
    let done = key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(bytes),
        Aad::from(associated_data),
        &mut sealed,
    );
    if done.is_err() {
        // Only a plaintext of many gigabytes cannot be encrypted.
        tracing::error!("encryption failed");
        sealed.clear();
    }
    json!({
        "algorithm": "AEAD_AES_256_GCM",
        "nonce": nonce,
        "associated_data": associated_data,
        "ciphertext": STANDARD.encode(sealed),
    })
}
