//! `pay`: the merchant at WeChat Pay, and what becomes of orders that nobody pays in time.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use avalon_wechat::{
    AppId,
    pay::{ApiV3Key, KeyRing, MchId, PaySettings, PlatformPublicKey, Serial, Signer},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use url::{Host, Url};

use super::{HttpUrl, text};

/// `pay`: the merchant at WeChat Pay. Without `mch_id` there are no payments, and no other key is
/// needed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct PayConfig {
    /// The merchant's number. Turns payments on.
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
    /// The APIv3 key that it replaces, while it is being changed in the merchant portal.
    #[serde(deserialize_with = "text::optional", serialize_with = "text::hidden")]
    pub previous_api_v3_key: Option<ApiV3Secret>,
    /// Where WeChat Pay's APIs are.
    #[serde(deserialize_with = "text::parsed")]
    pub api_base: HttpUrl,
    /// Where to repeat what did not get through; unset: WeChat's own backup for its own `api_base`,
    /// no repeat for another one.
    #[serde(deserialize_with = "text::optional")]
    pub backup_base: Option<HttpUrl>,
    /// Where WeChat calls when an order was paid.
    #[serde(deserialize_with = "text::optional")]
    pub notify_url: Option<NotifyUrl>,
    /// The id of WeChat Pay's public key; unset: platform certificates only.
    #[serde(deserialize_with = "platform_public_key_id")]
    pub platform_public_key_id: Option<Serial>,
    /// WeChat Pay's public key, PEM.
    #[serde(deserialize_with = "platform_public_key")]
    pub platform_public_key: Option<String>,
    /// An order that is not paid within this is closed.
    #[serde(with = "text::duration")]
    pub order_ttl: Duration,
    /// How old an unpaid order is when WeChat is first asked about it; it is asked again later and
    /// later.
    #[serde(with = "text::duration")]
    pub reconcile_after: Duration,
    /// What happens to a payment that arrives after its order was closed.
    pub late_payment: LatePayment,
    /// How long a callback is kept after it was processed, and a webhook after it was delivered.
    #[serde(with = "text::duration")]
    pub inbox_retention: Duration,
    /// How long connecting may take.
    #[serde(with = "text::duration")]
    pub connect_timeout: Duration,
    /// How long one attempt of a call may take in all.
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
            api_base: HttpUrl::wechat_pay_platform(),
            backup_base: None,
            notify_url: None,
            platform_public_key_id: None,
            platform_public_key: None,
            order_ttl: Duration::from_secs(30 * 60),
            reconcile_after: Duration::from_secs(30),
            late_payment: LatePayment::Keep,
            inbox_retention: Duration::from_secs(90 * 24 * 3600),
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(6),
        }
    }
}

impl PayConfig {
    /// Whether players can pay: there is a merchant.
    pub fn enabled(&self) -> bool {
        self.mch_id.is_some()
    }

    /// Where WeChat calls when a refund has ended: beside `notify_url`.
    pub fn refund_notify_url(&self) -> Option<Url> {
        self.notify_url.as_ref().map(NotifyUrl::refund_url)
    }

    /// What a client of WeChat Pay is made from; `None` when payments are off.
    ///
    /// # Errors
    /// When a key is missing, which [`Config::load`](super::Config::load) has refused for every role
    /// that makes a client.
    pub fn client_settings(&self, app_id: &AppId) -> Option<Result<PaySettings, MissingPayKey>> {
        let mch_id = self.mch_id.clone()?;
        Some(self.settings_of(mch_id, app_id.clone()))
    }

    fn settings_of(&self, mch_id: MchId, app_id: AppId) -> Result<PaySettings, MissingPayKey> {
        let merchant_key = needed(&self.merchant_key, "pay.merchant_key")?;
        let api_v3_key = needed(&self.api_v3_key, "pay.api_v3_key")?;
        let notify_url = needed(&self.notify_url, "pay.notify_url")?;
        let public_key = self.platform_public_key_id.as_ref();
        Ok(PaySettings {
            app_id,
            mch_id,
            merchant_serial: needed(&self.merchant_serial, "pay.merchant_serial")?.clone(),
            merchant_key: merchant_key.0.clone(),
            api_v3_key: match &self.previous_api_v3_key {
                Some(previous) => api_v3_key.key.clone().replacing(&previous.key),
                None => api_v3_key.key.clone(),
            },
            api_base: self.api_base.as_url().clone(),
            backup_base: self.backup_base.as_ref().map(|url| url.as_url().clone()),
            notify_url: notify_url.as_url().clone(),
            refund_notify_url: notify_url.refund_url(),
            platform_public_key: public_key.zip(self.platform_public_key.as_ref()).map(
                |(id, pem)| PlatformPublicKey {
                    id: id.clone(),
                    pem: pem.clone(),
                },
            ),
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
        })
    }
}

fn needed<'c, T>(value: &'c Option<T>, key: &'static str) -> Result<&'c T, MissingPayKey> {
    value.as_ref().ok_or(MissingPayKey(key))
}

/// A key, dotted, without which there can be no client of WeChat Pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}: required")]
pub struct MissingPayKey(pub &'static str);

/// What happens to a payment that arrives after its order was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LatePayment {
    /// The order is paid after all and the goods are given.
    Keep,
    /// The money goes back.
    Refund,
}

/// The private key of the merchant API certificate, known to be usable. Never printed.
#[derive(Clone)]
pub struct MerchantKey(SecretString);

/// A text is no [`MerchantKey`].
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
        // Whose key it is makes no difference to whether it is one.
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

/// A text is no [`ApiV3Secret`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the 32 characters that were set in the merchant portal")]
pub struct ApiV3SecretError;

impl ApiV3Secret {
    /// The key as the merchant portal took it.
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

/// The public URL of our route `…/pay/notify`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyUrl(Url);

/// A text is no [`NotifyUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotifyUrlError {
    /// No URL, or one with parts that WeChat does not take.
    #[error("must be an https:// URL without credentials, query or fragment")]
    Malformed,
    /// Anyone on the way could read along.
    #[error("must be an https:// URL (http:// is for loopback addresses only)")]
    Plain,
    /// Not our route.
    #[error("must end in /pay/notify")]
    Path,
    /// Longer than WeChat takes.
    #[error("must be shorter than 250 characters")]
    Length,
}

impl NotifyUrl {
    /// What WeChat takes, for this URL and for the longer one of refunds.
    const MAX_LENGTH: usize = 255;

    /// The route of an API that listens here, for a platform on the same machine.
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

    /// The URL.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// Where WeChat calls when a refund has ended: the sibling `refundNotify`.
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

/// Reads a text that must pass a test.
fn tested<'de, D: Deserializer<'de>>(
    deserializer: D,
    is_one: impl FnOnce(&str) -> bool,
    wanted: &str,
) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_one(&text) {
        Ok(text)
    } else {
        Err(D::Error::custom(wanted))
    }
}

fn mch_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<MchId>, D::Error> {
    // It stands between quotes in a header and unencoded in queries.
    let is_one =
        |id: &str| (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit());
    tested(deserializer, is_one, "must be digits, 32 at most").map(|id| Some(MchId::new(id)))
}

fn merchant_serial<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Serial>, D::Error> {
    let is_one =
        |serial: &str| serial.len() == 40 && serial.bytes().all(|byte| byte.is_ascii_hexdigit());
    let wanted = "must be 40 hex digits (`openssl x509 -in apiclient_cert.pem -noout -serial`)";
    // WeChat compares with upper case.
    tested(deserializer, is_one, wanted)
        .map(|serial| Some(Serial::new(serial.to_ascii_uppercase())))
}

fn platform_public_key_id<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Serial>, D::Error> {
    let is_one = |id: &str| {
        id.strip_prefix("PUB_KEY_ID_")
            .is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    tested(deserializer, is_one, "must be PUB_KEY_ID_ and digits").map(|id| Some(Serial::new(id)))
}

fn platform_public_key<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let is_one = |pem: &str| {
        let key = PlatformPublicKey {
            id: Serial::new(""),
            pem: pem.to_owned(),
        };
        KeyRing::new(Some(&key)).is_ok()
    };
    let wanted = "must be WeChat Pay's RSA public key, PEM (`pub_key.pem`)";
    tested(deserializer, is_one, wanted).map(Some)
}
