//! Signs with the merchant's key: requests to WeChat (§1) and payment parameters for clients (§4.4).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{MchId, PrepayId, Serial};
use crate::AppId;

const SCHEME: &str = "WECHATPAY2-SHA256-RSA2048";
const PEM_TAG: &str = "PRIVATE KEY";

/// Reason why the merchant's private key is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMerchantKey {
    /// Not PEM, or PEM of another kind.
    #[error("the merchant key must be PEM with a PRIVATE KEY block (PKCS#8)")]
    Pem,
    /// Not an RSA key of at least 2048 bits.
    #[error("the merchant key is not a usable RSA private key of at least 2048 bits")]
    Key,
}

/// The cryptographic library failed to sign or to generate random bytes, a fault of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request could not be signed")]
pub struct SigningError;

/// The parameters of `wx.requestPayment`, with its field names (§4.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PayParams {
    /// Unix seconds as a string: the client fails on a number.
    pub time_stamp: String,
    /// Random string of at most 32 characters.
    pub nonce_str: String,
    /// The prepayment, `prepay_id=…`.
    pub package: String,
    /// Always `RSA`.
    pub sign_type: String,
    /// The signature in base64.
    pub pay_sign: String,
}

/// Signs as the merchant. Clones share the key, which `Debug` redacts.
#[derive(Clone)]
pub struct Signer {
    mch_id: MchId,
    serial: Serial,
    key: Arc<RsaKeyPair>,
}

impl Signer {
    /// Creates a signer from the merchant's private key (PKCS#8 PEM) and the serial of its certificate.
    ///
    /// # Errors
    /// When the key is not a usable RSA private key.
    pub fn new(
        mch_id: MchId,
        serial: Serial,
        key: &SecretString,
    ) -> Result<Self, InvalidMerchantKey> {
        let block = pem::parse(key.expose_secret()).map_err(|_| InvalidMerchantKey::Pem)?;
        if block.tag() != PEM_TAG {
            return Err(InvalidMerchantKey::Pem);
        }
        let key = RsaKeyPair::from_pkcs8(block.contents()).map_err(|_| InvalidMerchantKey::Key)?;
        // WeChat's certificates have 2048 bits. aws-lc-rs would reject shorter keys only when signing.
        if key.public_modulus_len() < 2048 / 8 {
            return Err(InvalidMerchantKey::Key);
        }
        Ok(Self {
            mch_id,
            serial,
            key: Arc::new(key),
        })
    }

    /// Builds the `Authorization` header of a request (§1.1). `target` is the path and query exactly as
    /// sent, `body` the exact bytes sent, empty for GET.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn authorization(
        &self,
        method: &str,
        target: &str,
        body: &[u8],
        now: Timestamp,
        nonce: &str,
    ) -> Result<String, SigningError> {
        let timestamp = now.as_second();
        let mut message = format!("{method}\n{target}\n{timestamp}\n{nonce}\n").into_bytes();
        message.extend_from_slice(body);
        message.push(b'\n');
        let signature = self.sign(&message)?;
        let (mch_id, serial) = (&self.mch_id, &self.serial);
        Ok(format!(
            "{SCHEME} mchid=\"{mch_id}\",nonce_str=\"{nonce}\",timestamp=\"{timestamp}\",\
             serial_no=\"{serial}\",signature=\"{signature}\""
        ))
    }

    /// Builds the parameters of `wx.requestPayment` for `app_id` (§4.4). Use a fresh time and nonce for
    /// every attempt.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn pay_sign(
        &self,
        app_id: &AppId,
        prepay_id: &PrepayId,
        now: Timestamp,
        nonce: &str,
    ) -> Result<PayParams, SigningError> {
        let time_stamp = now.as_second().to_string();
        let package = format!("prepay_id={prepay_id}");
        let message = format!("{app_id}\n{time_stamp}\n{nonce}\n{package}\n");
        Ok(PayParams {
            pay_sign: self.sign(message.as_bytes())?,
            time_stamp,
            nonce_str: nonce.to_owned(),
            package,
            sign_type: "RSA".to_owned(),
        })
    }

    fn sign(&self, message: &[u8]) -> Result<String, SigningError> {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .map_err(|_| SigningError)?;
        Ok(BASE64_STANDARD.encode(signature))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("mch_id", &self.mch_id)
            .field("serial", &self.serial)
            .field("public_key", self.key.public_key())
            .finish_non_exhaustive()
    }
}

/// Generates a nonce of 32 random upper-case hex digits.
///
/// # Errors
/// When the system's random generator fails.
pub fn fresh_nonce() -> Result<String, SigningError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| SigningError)?;
    Ok(hex::encode_upper(bytes))
}
