//! The merchant's identity as configured in the simulator, and test credentials for both sides.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::behaviour::PayBehaviour;
use super::keys::Keys;

/// Timeout of a callback request.
const CALLBACK_TIMEOUT: Duration = Duration::from_secs(5);

/// The credentials that a merchant needs to use the simulator. Invented, public, for tests only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayCredentials {
    /// The merchant's number.
    pub mch_id: &'static str,
    /// The serial of the merchant's certificate.
    pub merchant_serial: &'static str,
    /// The merchant's private key, PKCS#8 PEM.
    pub merchant_key: &'static str,
    /// The merchant's certificate, PEM.
    pub merchant_certificate: &'static str,
    /// The APIv3 key, 32 characters.
    pub api_v3_key: &'static str,
    /// The id of the platform's public key, used as its serial.
    pub platform_public_key_id: &'static str,
    /// The platform's public key, SPKI PEM.
    pub platform_public_key: &'static str,
    /// The platform's certificates, PEM, the older one first.
    pub platform_certificates: [&'static str; 2],
    /// The serials of `platform_certificates`.
    pub platform_serials: [&'static str; 2],
}

impl PayCredentials {
    /// The test merchant's credentials. The platform's keys are the same for every merchant.
    pub const TEST: Self = Self {
        mch_id: "1900012345",
        merchant_serial: "3A7C19E45B08D2F6617B90AC4E5D83F1276BC05E",
        merchant_key: include_str!("test_keys/merchant_key.pem"),
        merchant_certificate: include_str!("test_keys/merchant_certificate.pem"),
        api_v3_key: "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0u",
        platform_public_key_id: "PUB_KEY_ID_0119000123452026010100000000000001",
        platform_public_key: include_str!("test_keys/platform_public_key.pem"),
        platform_certificates: [
            include_str!("test_keys/certificate_a.pem"),
            include_str!("test_keys/certificate_b.pem"),
        ],
        platform_serials: [
            "5D20E6B1A94C7F3380E1D2C3B4A5968778695A4B",
            "6E31F7C2BA5D803491F2E3D4C5B6A79889706B5C",
        ],
    };
}

/// A merchant as registered with the platform.
#[derive(Clone, Copy)]
pub struct PayMerchant<'a> {
    /// The merchant's number.
    pub mch_id: &'a str,
    /// The serial of the merchant's certificate, required in `Authorization`.
    pub serial: &'a str,
    /// The key that verifies requests, PEM: a public key (SPKI), a certificate, or a private key
    /// (PKCS#8) of which only the public half is used.
    pub key: &'a str,
    /// The APIv3 key, 32 bytes.
    pub api_v3_key: &'a str,
}

/// The merchant of the platform, and the behaviour of WeChat Pay at start and after a reset.
///
/// Its orders belong to the simulator's only app.
#[derive(Clone)]
pub struct PaySimulatorSettings {
    pub(crate) mch_id: String,
    pub(crate) keys: Arc<Keys>,
    pub(crate) http: reqwest::Client,
    /// Initial behaviour, which `PUT /_sim/pay/settings` changes.
    pub behaviour: PayBehaviour,
}

impl PaySimulatorSettings {
    /// Creates settings for this merchant, with default behaviour.
    ///
    /// # Errors
    /// When the merchant's key or the APIv3 key is invalid.
    pub fn new(merchant: &PayMerchant<'_>) -> Result<Self, PaySetupError> {
        // Like WeChat, callbacks follow no redirects.
        let http = reqwest::Client::builder()
            .no_proxy()
            // Header names as WeChat writes them: `Wechatpay-Timestamp`.
            .http1_title_case_headers()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(CALLBACK_TIMEOUT)
            .build()
            .map_err(|error| PaySetupError(format!("cannot create the HTTP client: {error}")))?;
        Ok(Self {
            mch_id: merchant.mch_id.to_owned(),
            keys: Arc::new(Keys::new(merchant)?),
            http,
            behaviour: PayBehaviour::default(),
        })
    }

    /// Creates settings for the merchant of [`PayCredentials::TEST`].
    ///
    /// # Errors
    /// Those of [`PaySimulatorSettings::new`].
    pub fn test() -> Result<Self, PaySetupError> {
        let test = PayCredentials::TEST;
        Self::new(&PayMerchant {
            mch_id: test.mch_id,
            serial: test.merchant_serial,
            key: test.merchant_certificate,
            api_v3_key: test.api_v3_key,
        })
    }
}

/// An error in the WeChat Pay settings.
#[derive(Debug)]
pub struct PaySetupError(pub(crate) String);

impl fmt::Display for PaySetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PaySetupError {}
