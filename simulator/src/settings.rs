//! What the simulated platform is like: the app it knows, and behaviour that can change as it runs.

use serde::Serialize;

use crate::PaySimulatorSettings;

/// The app that the platform knows, and how the platform starts (and is again after a reset).
#[derive(Clone)]
pub struct SimulatorSettings {
    /// The app id that callers must show.
    pub app_id: String,
    /// The AppSecret that callers must show.
    pub app_secret: String,
    /// How the platform behaves until `PUT /_sim/settings` changes it.
    pub behaviour: Behaviour,
    /// The merchant whose WeChat Pay this is; none: there is no WeChat Pay.
    pub pay: Option<PaySimulatorSettings>,
}

impl SimulatorSettings {
    /// An app on a platform of default behaviour, without WeChat Pay.
    pub fn new(app_id: impl Into<String>, app_secret: impl Into<String>) -> Self {
        Self {
            app_id: app_id.into(),
            app_secret: app_secret.into(),
            behaviour: Behaviour::default(),
            pay: None,
        }
    }
}

/// What `PUT /_sim/settings` changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Behaviour {
    /// Whether sign-ins give a `unionid`, as for an app bound to an Open Platform account.
    pub unionid: bool,
    /// When a player's session key changes.
    pub session_key_rotation: SessionKeyRotation,
    /// Calls a minute that each API takes before it answers 45011; none: as many as come.
    pub quota_per_minute: Option<u32>,
    /// How long an access token is good that is given out from now on, in seconds; none: two hours.
    pub token_life_seconds: Option<u32>,
    /// The content type of JSON answers.
    pub content_type: ContentType,
    /// How far the platform's clock is ahead of the real one, in seconds: seen in `Date` headers, in
    /// the expiry of codes and in everything that WeChat Pay dates.
    pub clock_skew_seconds: i64,
}

/// When a player's session key changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SessionKeyRotation {
    /// Never: every sign-in of a player gives the same key.
    #[default]
    Never,
    /// At each sign-in; the key before is dead at once.
    Always,
}

/// WeChat has been seen to send JSON as either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContentType {
    /// `application/json`.
    #[default]
    Json,
    /// `text/plain`.
    Text,
}
