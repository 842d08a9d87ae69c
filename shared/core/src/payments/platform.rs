//! The platforms on which players buy: what can be bought, and through which channel, depends on it.

use serde::{Deserialize, Serialize};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

/// A platform, named as by `wx.getDeviceInfo().platform`.
#[derive(
    AsRefStr,
    Clone,
    Copy,
    Debug,
    Display,
    EnumString,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    IntoStaticStr,
    Serialize,
    Deserialize,
    ToSchema,
    VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Platform {
    /// iPhone and iPad. Apple's orders have no sandbox and no numbers of WeChat Pay.
    Ios,
    /// Android.
    Android,
    /// WeChat on Windows.
    Windows,
    /// WeChat on macOS.
    Mac,
    /// HarmonyOS.
    Ohos,
    /// The developer tools.
    Devtools,
}

/// The version of the mini-game that a client runs, named as by `wx.getAccountInfoSync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EnvVersion {
    /// A developer's build.
    Develop,
    /// A trial build.
    Trial,
    /// The released game, in which WeChat refuses the sandbox.
    Release,
}

/// What an order is paid with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PayWith {
    /// Money, through a payment channel.
    #[default]
    Money,
    /// The player's coins at WeChat.
    Coins,
}
