//! Settings of payments: `pay` (the merchant at WeChat Pay, lifetime of orders) and `fulfil` (the
//! webhook to the game server).

mod fulfil;
mod virtual_payment;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use avalon_config::{HttpUrl, Violation, rule, text};
use avalon_wechat::{
    AppId,
    pay::{ApiV3Key, KeyRing, MchId, PaySettings, PlatformPublicKey, Serial, Signer},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use url::{Host, Url};

use super::orders::HoldRules;
pub use fulfil::{FulfilConfig, WebhookSecret, WebhookSecretError, WebhookUrl, WebhookUrlError};
pub use virtual_payment::{ChannelsConfig, VpayConfig};

/// `pay`: the merchant at WeChat Pay. Without `mch_id` there are no payments, and no other key is
/// needed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct PayConfig {
    /// Merchant number. Enables payments.
    #[serde(deserialize_with = "mch_id")]
    pub mch_id: Option<MchId>,
    /// Serial of the merchant API certificate.
    #[serde(deserialize_with = "merchant_serial")]
    pub merchant_serial: Option<Serial>,
    /// The private key of that certificate, PKCS#8 PEM.
    #[serde(deserialize_with = "text::optional", serialize_with = "text::hidden")]
    pub merchant_key: Option<MerchantKey>,
    /// The APIv3 key: 32 bytes.
    #[serde(deserialize_with = "text::optional", serialize_with = "text::hidden")]
    pub api_v3_key: Option<ApiV3Secret>,
    /// The previous APIv3 key, while it is being changed in the merchant portal.
    #[serde(deserialize_with = "text::optional", serialize_with = "text::hidden")]
    pub previous_api_v3_key: Option<ApiV3Secret>,
    /// Base URL of WeChat Pay's APIs.
    #[serde(deserialize_with = "text::parsed")]
    pub api_base: HttpUrl,
    /// Base URL for repeating failed calls; unset: WeChat's own backup for its own `api_base`, no
    /// repeat for another one.
    #[serde(deserialize_with = "text::optional")]
    pub backup_base: Option<HttpUrl>,
    /// Public URL of the callback for paid orders.
    #[serde(deserialize_with = "text::optional")]
    pub notify_url: Option<NotifyUrl>,
    /// The id of WeChat Pay's public key; unset: platform certificates only.
    #[serde(deserialize_with = "platform_public_key_id")]
    pub platform_public_key_id: Option<Serial>,
    /// WeChat Pay's public key, PEM.
    #[serde(deserialize_with = "platform_public_key")]
    pub platform_public_key: Option<String>,
    /// Which platform pays through which channel.
    pub channels: ChannelsConfig,
    /// Age at which an unpaid order is closed.
    #[serde(with = "text::duration")]
    pub order_ttl: Duration,
    /// The same while the product's stock is scarce, if shorter.
    #[serde(with = "text::duration")]
    pub scarce_order_ttl: Duration,
    /// Stock is scarce when fewer pieces are left; 0: never.
    pub scarce_stock: u32,
    /// Maximum number of unpaid orders per player.
    pub max_pending_orders: u32,
    /// Maximum share of a product's available stock that one player may hold unpaid, in percent; one piece
    /// is always allowed.
    pub max_pending_stock_percent: u32,
    /// Age at which an unpaid order is first queried at WeChat; later queries back off.
    #[serde(with = "text::duration")]
    pub reconcile_after: Duration,
    /// What to do with a payment that arrives after its order was closed.
    pub late_payment: LatePayment,
    /// Retention of processed callbacks and delivered webhooks.
    #[serde(with = "text::duration")]
    pub inbox_retention: Duration,
    /// Timeout of connecting.
    #[serde(with = "text::duration")]
    pub connect_timeout: Duration,
    /// Timeout of one attempt of a call.
    #[serde(with = "text::duration")]
    pub request_timeout: Duration,
}

impl Default for PayConfig {
    fn default() -> Self {
        Self {
            mch_id: None,
            merchant_serial: None,
            merchant_key: None,
            api_v3_key: None,
            previous_api_v3_key: None,
            api_base: HttpUrl::constant("https://api.mch.weixin.qq.com"),
            backup_base: None,
            notify_url: None,
            platform_public_key_id: None,
            platform_public_key: None,
            channels: ChannelsConfig::default(),
            order_ttl: Duration::from_secs(30 * 60),
            scarce_order_ttl: Duration::from_secs(5 * 60),
            scarce_stock: 100,
            max_pending_orders: 20,
            max_pending_stock_percent: 25,
            reconcile_after: Duration::from_secs(30),
            late_payment: LatePayment::Keep,
            inbox_retention: Duration::from_secs(90 * 24 * 3600),
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(6),
        }
    }
}

impl PayConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        let not_zero = "must be longer than 0s";
        let zero = Duration::ZERO;
        let day = Duration::from_secs(24 * 60 * 60);
        rule(self.order_ttl > zero, "pay.order_ttl", not_zero)?;
        rule(
            // WeChat itself closes unpaid orders after that.
            self.order_ttl <= 7 * day,
            "pay.order_ttl",
            "must not be longer than 7d",
        )?;
        rule(
            self.scarce_order_ttl > zero,
            "pay.scarce_order_ttl",
            not_zero,
        )?;
        rule(
            self.max_pending_orders > 0,
            "pay.max_pending_orders",
            "must be at least 1",
        )?;
        rule(
            (1..=100).contains(&self.max_pending_stock_percent),
            "pay.max_pending_stock_percent",
            "must be between 1 and 100",
        )?;
        rule(
            // WeChat repeats a callback for a day.
            self.inbox_retention >= 2 * day,
            "pay.inbox_retention",
            "must not be shorter than 2d",
        )?;
        rule(self.reconcile_after > zero, "pay.reconcile_after", not_zero)?;
        rule(self.connect_timeout > zero, "pay.connect_timeout", not_zero)?;
        rule(self.request_timeout > zero, "pay.request_timeout", not_zero)?;
        rule(
            self.platform_public_key_id.is_none() || self.platform_public_key.is_some(),
            "pay.platform_public_key",
            "required beside pay.platform_public_key_id (PEM)",
        )?;
        rule(
            self.platform_public_key.is_none() || self.platform_public_key_id.is_some(),
            "pay.platform_public_key_id",
            "required beside pay.platform_public_key (PUB_KEY_ID_ and digits)",
        )
    }

    /// Checks that a configured merchant has all its keys: a part of them is of no use.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check_merchant(&self) -> Result<(), Violation> {
        rule(
            self.merchant_serial.is_some(),
            "pay.merchant_serial",
            "required beside pay.mch_id (serial of the merchant API certificate)",
        )?;
        rule(
            self.merchant_key.is_some(),
            "pay.merchant_key",
            "required beside pay.mch_id (RSA private key, PKCS#8 PEM)",
        )?;
        rule(
            self.api_v3_key.is_some(),
            "pay.api_v3_key",
            "required beside pay.mch_id (32 characters)",
        )
    }

    /// Whether callbacks can be received, and nothing else: WeChat's public key is configured, and the
    /// merchant's private key is not.
    pub fn only_receives(&self) -> bool {
        self.merchant_key.is_none() && self.public_key().is_some()
    }

    /// WeChat Pay's public key, if it is configured.
    pub fn public_key(&self) -> Option<PlatformPublicKey> {
        let id = self.platform_public_key_id.clone()?;
        let pem = self.platform_public_key.clone()?;
        Some(PlatformPublicKey { id, pem })
    }

    /// Whether a merchant is configured, without which players cannot pay.
    pub fn enabled(&self) -> bool {
        self.mch_id.is_some()
    }

    /// Bounds on unpaid orders.
    pub fn hold_rules(&self) -> HoldRules {
        HoldRules {
            ttl: self.order_ttl,
            scarce_ttl: self.scarce_order_ttl,
            scarce_stock: self.scarce_stock.into(),
            max_pending_orders: self.max_pending_orders.into(),
            max_pending_stock_percent: self.max_pending_stock_percent.into(),
        }
    }

    /// URL of the callback for finished refunds, a sibling of `notify_url`.
    pub fn refund_notify_url(&self) -> Option<Url> {
        self.notify_url.as_ref().map(NotifyUrl::refund_url)
    }

    /// Settings of a WeChat Pay client; `None` when payments are off.
    ///
    /// # Errors
    /// When a key is missing; the configuration of a role that creates a client has been checked.
    pub fn client_settings(&self, app_id: &AppId) -> Option<Result<PaySettings, MissingPayKey>> {
        let mch_id = self.mch_id.clone()?;
        Some(self.settings_of(mch_id, app_id.clone()))
    }

    fn settings_of(&self, mch_id: MchId, app_id: AppId) -> Result<PaySettings, MissingPayKey> {
        let merchant_key = required(&self.merchant_key, "pay.merchant_key")?;
        let api_v3_key = required(&self.api_v3_key, "pay.api_v3_key")?;
        let notify_url = required(&self.notify_url, "pay.notify_url")?;
        Ok(PaySettings {
            app_id,
            mch_id,
            merchant_serial: required(&self.merchant_serial, "pay.merchant_serial")?.clone(),
            merchant_key: merchant_key.0.clone(),
            api_v3_key: match &self.previous_api_v3_key {
                Some(previous) => api_v3_key.key.clone().replacing(&previous.key),
                None => api_v3_key.key.clone(),
            },
            api_base: self.api_base.as_url().clone(),
            backup_base: self.backup_base.as_ref().map(|url| url.as_url().clone()),
            notify_url: notify_url.as_url().clone(),
            refund_notify_url: notify_url.refund_url(),
            platform_public_key: self.public_key(),
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
        })
    }
}

fn required<'c, T>(value: &'c Option<T>, key: &'static str) -> Result<&'c T, MissingPayKey> {
    value.as_ref().ok_or(MissingPayKey(key))
}

/// A key, dotted, that a WeChat Pay client requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}: required")]
pub struct MissingPayKey(pub &'static str);

/// What to do with a payment that arrives after its order was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LatePayment {
    /// Mark the order paid and grant the items.
    Keep,
    /// Refund it.
    Refund,
}

/// The private key of the merchant API certificate, parsed once to validate it. Never printed.
#[derive(Clone)]
pub struct MerchantKey(SecretString);

/// The text is not a valid [`MerchantKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an RSA private key of at least 2048 bits, PKCS#8 PEM (`apiclient_key.pem`)")]
pub struct MerchantKeyError;

impl MerchantKey {
    /// The key, PKCS#8 PEM.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl FromStr for MerchantKey {
    type Err = MerchantKeyError;

    fn from_str(text: &str) -> Result<Self, MerchantKeyError> {
        let key = SecretString::from(text);
        // Parsing does not depend on the merchant.
        Signer::new(MchId::new(""), Serial::new(""), &key).map_err(|_| MerchantKeyError)?;
        Ok(Self(key))
    }
}

impl fmt::Debug for MerchantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MerchantKey(hidden)")
    }
}

/// The APIv3 key of the merchant portal. Never printed.
#[derive(Clone)]
pub struct ApiV3Secret {
    text: SecretString,
    key: ApiV3Key,
}

/// The text is not a valid [`ApiV3Secret`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the 32 characters that were set in the merchant portal")]
pub struct ApiV3SecretError;

impl ApiV3Secret {
    /// The key as set in the merchant portal.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl FromStr for ApiV3Secret {
    type Err = ApiV3SecretError;

    fn from_str(text: &str) -> Result<Self, ApiV3SecretError> {
        Ok(Self {
            key: ApiV3Key::parse(text).map_err(|_| ApiV3SecretError)?,
            text: text.into(),
        })
    }
}

impl fmt::Debug for ApiV3Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiV3Secret(hidden)")
    }
}

/// Public URL of our route `…/pay/notify`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyUrl(Url);

/// The text is not a valid [`NotifyUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotifyUrlError {
    /// Not a URL, or one with parts that WeChat does not accept.
    #[error("must be an https:// URL without credentials, query or fragment")]
    Malformed,
    /// Unencrypted, and not on this machine.
    #[error("must be an https:// URL (http:// is for loopback addresses only)")]
    Plain,
    /// Another path than our route's.
    #[error("must end in /pay/notify")]
    Path,
    /// Longer than WeChat accepts.
    #[error("must be shorter than 250 characters")]
    Length,
}

impl NotifyUrl {
    /// WeChat's limit, for this URL and for the longer one of refunds.
    const MAX_LENGTH: usize = 255;

    /// The route of an API listening on this address, for a simulator on the same machine.
    ///
    /// # Errors
    /// Never for a real address.
    pub fn on_this_machine(listen: SocketAddr) -> Result<Self, NotifyUrlError> {
        let ip = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let address = SocketAddr::new(ip, listen.port());
        Url::parse(&format!("http://{address}/api/wx/pay/notify"))
            .map(Self)
            .map_err(|_| NotifyUrlError::Malformed)
    }

    /// The parsed URL.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// The sibling URL `refundNotify`, for finished refunds.
    pub fn refund_url(&self) -> Url {
        let mut url = self.0.clone();
        let path = self.0.path();
        let folder = path.strip_suffix("notify").unwrap_or(path);
        url.set_path(&format!("{folder}refundNotify"));
        url
    }
}

impl FromStr for NotifyUrl {
    type Err = NotifyUrlError;

    fn from_str(text: &str) -> Result<Self, NotifyUrlError> {
        let url: HttpUrl = text.parse().map_err(|_| NotifyUrlError::Malformed)?;
        let url = Self(url.as_url().clone());
        if url.0.scheme() != "https" && !is_loopback(&url.0) {
            return Err(NotifyUrlError::Plain);
        }
        if !url.0.path().ends_with("/pay/notify") {
            return Err(NotifyUrlError::Path);
        }
        if url.refund_url().as_str().len() > Self::MAX_LENGTH {
            return Err(NotifyUrlError::Length);
        }
        Ok(url)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

impl fmt::Display for NotifyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for NotifyUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a text that must satisfy `is_valid`.
fn tested<'de, D: Deserializer<'de>>(
    deserializer: D,
    is_valid: impl FnOnce(&str) -> bool,
    wanted: &str,
) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_valid(&text) {
        Ok(text)
    } else {
        Err(D::Error::custom(wanted))
    }
}

fn mch_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<MchId>, D::Error> {
    // It goes into a quoted header value and unencoded into queries.
    let is_valid =
        |id: &str| (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit());
    tested(deserializer, is_valid, "must be digits, 32 at most").map(|id| Some(MchId::new(id)))
}

fn merchant_serial<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Serial>, D::Error> {
    let is_valid =
        |serial: &str| serial.len() == 40 && serial.bytes().all(|byte| byte.is_ascii_hexdigit());
    let wanted = "must be 40 hex digits (`openssl x509 -in apiclient_cert.pem -noout -serial`)";
    // WeChat compares in upper case.
    tested(deserializer, is_valid, wanted)
        .map(|serial| Some(Serial::new(serial.to_ascii_uppercase())))
}

fn platform_public_key_id<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Serial>, D::Error> {
    let is_valid = |id: &str| {
        id.strip_prefix("PUB_KEY_ID_")
            .is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    tested(deserializer, is_valid, "must be PUB_KEY_ID_ and digits").map(|id| Some(Serial::new(id)))
}

fn platform_public_key<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let is_valid = |pem: &str| {
        let key = PlatformPublicKey {
            id: Serial::new(""),
            pem: pem.to_owned(),
        };
        KeyRing::new(Some(&key)).is_ok()
    };
    let wanted = "must be WeChat Pay's RSA public key, PEM (`pub_key.pem`)";
    tested(deserializer, is_valid, wanted).map(Some)
}
