//! `vpay`: the app at WeChat's virtual payment; and `pay.channels`, which platform pays through which channel.

use std::time::Duration;

use avalon_config::{Violation, rule, text};
use avalon_wechat::virtual_payment::{
    AppKey, AppKeys, OfferId, RotatingAppKey, VirtualPaymentSettings, ZoneId,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::super::platform::Platform;
use super::super::status::Channel;

/// `vpay`: the app at WeChat's virtual payment. Without `offer_id` it is off.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct VpayConfig {
    /// The app's id within virtual payment. Enables it.
    pub offer_id: Option<String>,
    /// The zone in which the game sells.
    pub zone_id: String,
    /// The AppKey of production.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub app_key: Option<SecretString>,
    /// The one before it, while it is replaced.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub previous_app_key: Option<SecretString>,
    /// The AppKey of the sandbox.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub sandbox_app_key: Option<SecretString>,
    /// The one before it, while it is replaced.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub previous_sandbox_app_key: Option<SecretString>,
    /// Whether builds that are not released order in the sandbox.
    pub sandbox: bool,
    /// Whether orders of the sandbox grant items.
    pub sandbox_grants: bool,
    /// Time for which a player may not buy who had used what was refunded; 0: no time.
    #[serde(with = "text::duration")]
    pub refund_block: Duration,
}

impl Default for VpayConfig {
    fn default() -> Self {
        Self {
            offer_id: None,
            zone_id: "1".to_owned(),
            app_key: None,
            previous_app_key: None,
            sandbox_app_key: None,
            previous_sandbox_app_key: None,
            sandbox: false,
            sandbox_grants: false,
            refund_block: Duration::ZERO,
        }
    }
}

impl VpayConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(
            self.offer_id.as_deref() != Some(""),
            "vpay.offer_id",
            "must not be empty",
        )?;
        rule(
            !self.zone_id.is_empty(),
            "vpay.zone_id",
            "must not be empty",
        )?;
        rule(
            self.enabled() || self.app_key.is_none() && self.sandbox_app_key.is_none(),
            "vpay.offer_id",
            "required beside the AppKeys (offerId in the console of virtual payment)",
        )?;
        rule(
            !self.enabled() || self.app_key.is_some(),
            "vpay.app_key",
            "required beside vpay.offer_id (AppKey of the production environment)",
        )?;
        rule(
            !self.sandbox || self.sandbox_app_key.is_some(),
            "vpay.sandbox_app_key",
            "required beside vpay.sandbox (AppKey of the sandbox)",
        )?;
        rule(
            self.app_key.is_some() || self.previous_app_key.is_none(),
            "vpay.previous_app_key",
            "is of no use without vpay.app_key",
        )?;
        rule(
            self.sandbox_app_key.is_some() || self.previous_sandbox_app_key.is_none(),
            "vpay.previous_sandbox_app_key",
            "is of no use without vpay.sandbox_app_key",
        )
    }

    /// Whether players can pay by virtual payment.
    pub fn enabled(&self) -> bool {
        self.offer_id.is_some()
    }

    /// The AppKeys.
    pub fn app_keys(&self) -> AppKeys {
        let rotating = |current: &Option<SecretString>, previous: &Option<SecretString>| {
            Some(RotatingAppKey {
                current: AppKey::new(current.clone()?),
                previous: previous.clone().map(AppKey::new),
            })
        };
        AppKeys {
            production: rotating(&self.app_key, &self.previous_app_key),
            sandbox: rotating(&self.sandbox_app_key, &self.previous_sandbox_app_key),
        }
    }

    /// Settings of a client; `None`: virtual payment is off.
    pub fn client_settings(&self) -> Option<VirtualPaymentSettings> {
        Some(VirtualPaymentSettings {
            offer_id: OfferId::new(self.offer_id.clone()?),
            zone: ZoneId::new(&self.zone_id),
            keys: self.app_keys(),
        })
    }
}

/// `pay.channels`: which platform pays through which channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of platforms")]
pub struct ChannelsConfig {
    /// On iPhone and iPad.
    pub ios: Option<Channel>,
    /// On Android.
    pub android: Option<Channel>,
    /// On Windows.
    pub windows: Option<Channel>,
    /// On macOS.
    pub mac: Option<Channel>,
    /// On HarmonyOS.
    pub ohos: Option<Channel>,
    /// In the developer tools.
    pub devtools: Option<Channel>,
    /// On all others, and when the client names none; unset: virtual payment when it is configured, else
    /// WeChat Pay.
    pub default: Option<Channel>,
}

impl ChannelsConfig {
    /// Returns the channel that is configured for a platform; `None`: the first one that is available.
    pub fn of(&self, platform: Option<Platform>) -> Option<Channel> {
        let own = match platform {
            Some(Platform::Ios) => self.ios,
            Some(Platform::Android) => self.android,
            Some(Platform::Windows) => self.windows,
            Some(Platform::Mac) => self.mac,
            Some(Platform::Ohos) => self.ohos,
            Some(Platform::Devtools) => self.devtools,
            None => None,
        };
        own.or(self.default)
    }

    /// Returns the channel of a platform when `virtual_payment` is configured or not.
    pub fn choose(&self, platform: Option<Platform>, virtual_payment: bool) -> Channel {
        self.of(platform).unwrap_or(match virtual_payment {
            true => Channel::VirtualPayment,
            false => Channel::WechatPay,
        })
    }

    /// All channels that are named.
    pub fn named(&self) -> impl Iterator<Item = Channel> {
        let all = [
            self.ios,
            self.android,
            self.windows,
            self.mac,
            self.ohos,
            self.devtools,
            self.default,
        ];
        all.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_configuration_is_refused() {
        let key = || Some(SecretString::from("key"));
        let whole = VpayConfig {
            offer_id: Some("1".to_owned()),
            app_key: key(),
            ..VpayConfig::default()
        };
        assert!(whole.check().is_ok());
        let refused = |config: VpayConfig| config.check().unwrap_err().key;
        let no_offer = VpayConfig {
            offer_id: None,
            ..whole.clone()
        };
        assert_eq!(refused(no_offer), "vpay.offer_id");
        let no_key = VpayConfig {
            app_key: None,
            ..whole.clone()
        };
        assert_eq!(refused(no_key), "vpay.app_key");
        let no_sandbox_key = VpayConfig {
            sandbox: true,
            ..whole.clone()
        };
        assert_eq!(refused(no_sandbox_key), "vpay.sandbox_app_key");
        let only_previous = VpayConfig {
            previous_sandbox_app_key: key(),
            ..whole
        };
        assert_eq!(refused(only_previous), "vpay.previous_sandbox_app_key");
    }

    #[test]
    fn platform_comes_before_default_before_what_is_available() {
        let mut channels = ChannelsConfig::default();
        let ios = Some(Platform::Ios);
        assert_eq!(channels.choose(ios, true), Channel::VirtualPayment);
        assert_eq!(channels.choose(ios, false), Channel::WechatPay);
        channels.default = Some(Channel::WechatPay);
        assert_eq!(channels.choose(ios, true), Channel::WechatPay);
        channels.ios = Some(Channel::VirtualPayment);
        assert_eq!(channels.choose(ios, true), Channel::VirtualPayment);
        assert_eq!(channels.choose(None, true), Channel::WechatPay);
    }
}
