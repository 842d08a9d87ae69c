//! Where and how pushes are sent, as `PUT /_sim/vpay/push-settings` changes it.

use serde::{Deserialize, Serialize};

use super::credentials::VirtualPaymentSimulatorSettings;

/// The settings of pushes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PushPolicy {
    /// The URL; none drops all pushes.
    pub(crate) url: Option<String>,
    pub(crate) token: String,
    pub(crate) encoding_aes_key: String,
    /// The app's original id.
    pub(crate) user_name: String,
    pub(crate) mode: Mode,
    pub(crate) encryption: Encryption,
    pub(crate) format: Format,
    /// Number of concurrent copies of the first attempt.
    pub(crate) copies: u32,
    /// Time before the first attempt, in seconds of the clock that can be advanced.
    pub(crate) delay_seconds: u32,
    /// Whether the first try comes at once or after the first step of the ladder, which is unconfirmed.
    pub(crate) first_try_at_once: bool,
    /// Steps of every ladder in milliseconds, instead of the documented ones.
    pub(crate) schedule_ms: Option<Vec<u64>>,
    pub(crate) pay_event_sig: PayEventSig,
    /// Whether messages are those of another app, rightly signed.
    pub(crate) other_app: bool,
    /// Whether the signature of the message is wrong.
    pub(crate) wrong_msg_signature: bool,
}

impl PushPolicy {
    pub(crate) fn new(settings: &VirtualPaymentSimulatorSettings) -> Self {
        Self {
            url: settings.push_url.clone(),
            token: settings.push_token.clone(),
            encoding_aes_key: settings.encoding_aes_key.clone(),
            user_name: settings.user_name.clone(),
            copies: 1,
            first_try_at_once: true,
            ..Self::default()
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Mode {
    /// Pushes are sent.
    #[default]
    Normal,
    /// Pushes are discarded.
    Drop,
    /// Pushes wait for a control route to release them.
    Hold,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Encryption {
    Plain,
    /// Plain fields beside the encrypted message.
    Compatible,
    #[default]
    Secure,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Format {
    #[default]
    Json,
    Xml,
}

/// The signature of payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum PayEventSig {
    #[default]
    Right,
    Wrong,
    Missing,
    /// Made with the AppKey of the other environment.
    OtherEnv,
}
