//! Who we are to WeChat Pay and how to reach it.

use std::time::Duration;

use secrecy::SecretString;
use url::{Host, Url};

use super::{ApiV3Key, MchId, Serial};
use crate::AppId;

const OFFICIAL_HOST: &str = "api.mch.weixin.qq.com";
const OFFICIAL_BACKUP_HOST: &str = "api2.mch.weixin.qq.com";

/// How to reach WeChat Pay, and as whom. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct PaySettings {
    /// The mini-game that players pay in; bound to the merchant in the portal.
    pub app_id: AppId,
    /// The merchant.
    pub mch_id: MchId,
    /// Serial of the merchant API certificate, 40 upper-case hex digits. Not a platform serial.
    pub merchant_serial: Serial,
    /// The private key of that certificate, PKCS#8 PEM (`apiclient_key.pem`).
    pub merchant_key: SecretString,
    /// Decrypts callbacks and platform certificates.
    pub api_v3_key: ApiV3Key,
    /// Where the API is, `https://api.mch.weixin.qq.com` or another; its path is kept as a prefix.
    pub api_base: Url,
    /// Where to repeat what did not get through; none: WeChat's other city for the official
    /// `api_base` (§10), no repeat for another one.
    pub backup_base: Option<Url>,
    /// Where WeChat calls when an order was paid. Public, without a query (§4.3).
    pub notify_url: Url,
    /// Where WeChat calls when a refund has ended.
    pub refund_notify_url: Url,
    /// Public-key mode, the only one of newer merchants; none: platform certificates only (§2.4).
    pub platform_public_key: Option<PlatformPublicKey>,
    /// Longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest wait for one attempt, from connecting to the last byte of the answer.
    pub request_timeout: Duration,
}

/// WeChat Pay's public key, downloaded once from the merchant portal.
#[derive(Clone, Debug)]
pub struct PlatformPublicKey {
    /// `PUB_KEY_ID_…`.
    pub id: Serial,
    /// The key, SPKI PEM.
    pub pem: String,
}

impl PaySettings {
    /// Where to repeat what did not get through at `api_base`.
    pub(super) fn backup(&self) -> Option<Url> {
        if self.backup_base.is_some() {
            return self.backup_base.clone();
        }
        let mut backup = self.api_base.clone();
        if self.api_base.host() != Some(Host::Domain(OFFICIAL_HOST)) {
            return None;
        }
        backup.set_host(Some(OFFICIAL_BACKUP_HOST)).ok()?;
        Some(backup)
    }
}
