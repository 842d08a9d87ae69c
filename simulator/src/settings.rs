//! Settings of the simulated platform: its app, and the behaviour that can change while it runs.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{PaySimulatorSettings, VirtualPaymentSimulatorSettings};

/// The platform's app, and the behaviour at start and after a reset.
#[derive(Clone)]
pub struct SimulatorSettings {
    /// The app id that callers must send.
    pub app_id: String,
    /// The AppSecret that callers must send.
    pub app_secret: String,
    /// Initial behaviour, which `PUT /_sim/settings` changes.
    pub behaviour: Behaviour,
    /// The merchant of WeChat Pay; none disables WeChat Pay.
    pub pay: Option<PaySimulatorSettings>,
    /// The app's virtual payment; none disables it.
    pub virtual_payment: Option<VirtualPaymentSimulatorSettings>,
    /// Pairs of names of players who are friends at the start.
    pub friends: Vec<(String, String)>,
    /// Players who have signed in before the start, by name, with their hosted data.
    pub hosted: BTreeMap<String, BTreeMap<String, String>>,
}

impl SimulatorSettings {
    /// Creates settings with default behaviour and without payments.
    pub fn new(app_id: impl Into<String>, app_secret: impl Into<String>) -> Self {
        Self {
            app_id: app_id.into(),
            app_secret: app_secret.into(),
            behaviour: Behaviour::default(),
            pay: None,
            virtual_payment: None,
            friends: Vec::new(),
            hosted: BTreeMap::new(),
        }
    }
}

/// The behaviour that `PUT /_sim/settings` changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Behaviour {
    /// Whether sign-ins return a `unionid`, as for an app bound to an Open Platform account.
    pub unionid: bool,
    /// When a player's session key is replaced.
    pub session_key_rotation: SessionKeyRotation,
    /// Calls per minute and API before it returns 45011; none is unlimited.
    pub quota_per_minute: Option<u32>,
    /// Lifetime of access tokens issued from now on, in seconds; none means two hours.
    pub token_life_seconds: Option<u32>,
    /// The content type of JSON responses.
    pub content_type: ContentType,
    /// Seconds by which the platform's clock is ahead of the real one. Affects `Date` headers, the
    /// expiry of codes and all timestamps of WeChat Pay.
    pub clock_skew_seconds: i64,
}

/// When a player's session key is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SessionKeyRotation {
    /// Never: every sign-in of a player returns the same key.
    #[default]
    Never,
    /// At each sign-in; the previous key becomes invalid at once.
    Always,
}

/// The content type of JSON responses; WeChat has been observed to send both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContentType {
    /// `application/json`.
    #[default]
    Json,
    /// `text/plain`.
    Text,
}
