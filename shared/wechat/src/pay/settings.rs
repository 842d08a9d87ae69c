//! Settings of the WeChat Pay client.

use std::time::Duration;

use secrecy::SecretString;
use url::{Host, Url};

use super::{ApiV3Key, MchId, Serial};
use crate::AppId;

const OFFICIAL_HOST: &str = "api.mch.weixin.qq.com";
const OFFICIAL_BACKUP_HOST: &str = "api2.mch.weixin.qq.com";

/// Address and credentials of WeChat Pay. `Debug` redacts secrets.
#[derive(Clone, Debug)]
pub struct PaySettings {
    /// The mini-game in which players pay; bound to the merchant in the portal.
    pub app_id: AppId,
    /// Merchant number.
    pub mch_id: MchId,
    /// Serial of the merchant API certificate, 40 upper-case hex digits. Not a platform serial.
    pub merchant_serial: Serial,
    /// The private key of that certificate, PKCS#8 PEM (`apiclient_key.pem`).
    pub merchant_key: SecretString,
    /// Decrypts callbacks and platform certificates.
    pub api_v3_key: ApiV3Key,
    /// Base URL of the API, by default `https://api.mch.weixin.qq.com`; its path becomes a prefix.
    pub api_base: Url,
    /// Base URL for failover. `None` means WeChat's backup host if `api_base` is the official one
    /// (§10), otherwise no failover.
    pub backup_base: Option<Url>,
    /// URL of payment callbacks. Public, without a query (§4.3).
    pub notify_url: Url,
    /// URL of refund callbacks.
    pub refund_notify_url: Url,
    /// WeChat's key in public-key mode, the only mode of newer merchants. `None` means platform
    /// certificates only (§2.4).
    pub platform_public_key: Option<PlatformPublicKey>,
    /// Timeout for connecting, including the TLS handshake.
    pub connect_timeout: Duration,
    /// Timeout for one attempt, from connecting to the last byte of the response.
    pub request_timeout: Duration,
}

/// WeChat Pay's public key, as downloaded from the merchant portal.
#[derive(Clone, Debug)]
pub struct PlatformPublicKey {
    /// Id of the key, `PUB_KEY_ID_…`.
    pub id: Serial,
    /// The key as SPKI PEM.
    pub pem: String,
}

impl PaySettings {
    /// Returns the base URL for failover from `api_base`.
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
