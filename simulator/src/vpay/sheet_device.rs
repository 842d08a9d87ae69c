//! The device and the build of the game that a payment sheet opens in.

use serde::Deserialize;

use super::state::Env;

/// iOS cannot pay.
pub(crate) const IOS_NOT_ALLOWED: i64 = 701_001;
const SANDBOX_IN_RELEASE: i64 = -15_010;

const MIN_IOS: [u32; 3] = [15, 0, 0];
const MIN_CLIENT: [u32; 3] = [8, 0, 68];
const MIN_LIBRARY: [u32; 3] = [3, 10, 3];

/// The client's platform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Platform {
    #[default]
    Android,
    Ios,
    Windows,
    Mac,
    Ohos,
    Devtools,
}

/// The build of the game.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Build {
    #[default]
    Develop,
    Trial,
    Release,
}

/// A device. Versions matter on iOS only.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Device {
    pub(crate) platform: Platform,
    pub(crate) build: Build,
    pub(crate) ios_version: String,
    pub(crate) client_version: String,
    pub(crate) library_version: String,
    /// Whether the contract for iOS was signed in the console.
    pub(crate) contract_signed: bool,
}

impl Default for Device {
    fn default() -> Self {
        Self {
            platform: Platform::default(),
            build: Build::default(),
            ios_version: "18.1".to_owned(),
            client_version: "8.0.70".to_owned(),
            library_version: "3.11.0".to_owned(),
            contract_signed: true,
        }
    }
}

impl Device {
    /// Whether payment is possible at all, as `wx.checkIsSupportMidasPayment` reports.
    pub(crate) fn is_supported(&self) -> bool {
        self.platform != Platform::Ios
            || self.contract_signed
                && version(&self.ios_version) >= MIN_IOS
                && version(&self.client_version) >= MIN_CLIENT
                && version(&self.library_version) >= MIN_LIBRARY
    }

    /// Checks device and build against the environment of an order.
    pub(crate) fn check(&self, env: Env) -> Result<(), i64> {
        let is_sandbox = env == Env::Sandbox;
        if !self.is_supported() || (self.platform == Platform::Ios && is_sandbox) {
            return Err(IOS_NOT_ALLOWED);
        }
        match (is_sandbox, self.build) {
            (true, Build::Release) => Err(SANDBOX_IN_RELEASE),
            _ => Ok(()),
        }
    }
}

/// Reads up to three numbers; what is no number is 0.
fn version(text: &str) -> [u32; 3] {
    let mut numbers = text.split('.').map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}
