//! `push`: the endpoint of WeChat's message push.

use std::fmt;
use std::time::Duration;

use avalon_config::{HttpUrl, Mode, Violation, rule, text};
use avalon_wechat::AppId;
use avalon_wechat::message_push::{
    EncodingAesKey, PushCredential, PushCredentials, PushReceiver, PushSettings, PushToken,
};
use secrecy::SecretString;
use serde::de::{self, SeqAccess};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `push`: the endpoint of WeChat's message push. Without `credentials` it does not exist.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct PushConfig {
    /// Token and EncodingAESKey of each URL in WeChat's console, old ones beside new ones.
    #[serde(
        deserialize_with = "read_credentials",
        serialize_with = "hide_credentials"
    )]
    pub credentials: Vec<PushCredential>,
    /// Whether unencrypted messages are accepted, whose content nothing signs; see
    /// [`PushConfig::allow_plain`] for the default.
    pub allow_plain: Option<bool>,
    /// The URL that was entered in WeChat's console, which `avalon doctor` verifies; by default that of `pay.notify_url`
    /// with the path of pushes.
    #[serde(deserialize_with = "text::optional")]
    pub public_url: Option<HttpUrl>,
    /// Maximum distance of a push's timestamp from ours.
    #[serde(with = "text::duration")]
    pub max_skew: Duration,
}

impl Default for PushConfig {
    fn default() -> Self {
        Self {
            credentials: Vec::new(),
            allow_plain: None,
            public_url: None,
            max_skew: Duration::from_secs(600),
        }
    }
}

impl PushConfig {
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        rule(
            !self.enabled() || PushCredentials::new(self.credentials.clone()).is_ok(),
            "push.credentials",
            "must be one to three, with distinct names and tokens that are not empty",
        )?;
        rule(
            self.max_skew > Duration::ZERO,
            "push.max_skew",
            "must be longer than 0s",
        )
    }

    /// Whether pushes are received.
    pub fn enabled(&self) -> bool {
        !self.credentials.is_empty()
    }

    /// Whether unencrypted messages are accepted: as configured, else only by `avalon dev`.
    pub fn allow_plain(&self, mode: impl Into<Mode>) -> bool {
        let default = mode.into() == Mode::Development;
        self.allow_plain.unwrap_or(default)
    }

    /// Returns what authenticates pushes to this app; `None`: none are received.
    pub fn receiver(&self, app_id: AppId, mode: impl Into<Mode>) -> Option<PushReceiver> {
        let credentials = PushCredentials::new(self.credentials.clone()).ok()?;
        Some(PushReceiver::new(PushSettings {
            app_id,
            credentials,
            allow_plain: self.allow_plain(mode),
            max_skew: Some(self.max_skew),
        }))
    }
}

/// A credential as written in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct Written {
    name: String,
    token: String,
    encoding_aes_key: Option<String>,
}

impl Written {
    fn parse<E: de::Error>(self) -> Result<PushCredential, E> {
        let key = self.encoding_aes_key.as_deref().map(EncodingAesKey::parse);
        Ok(PushCredential {
            name: self.name,
            token: PushToken::new(SecretString::from(self.token)),
            key: key.transpose().map_err(E::custom)?,
        })
    }
}

/// Reads a list of tables or, as in a variable, their JSON.
fn read_credentials<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<PushCredential>, D::Error> {
    struct Visitor;

    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Vec<PushCredential>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of tables with name, token and encoding_aes_key")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut credentials = Vec::new();
            while let Some(written) = items.next_element::<Written>()? {
                credentials.push(written.parse()?);
            }
            Ok(credentials)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            // The library's own message may quote a secret.
            let wanted = "must be a JSON list of objects with name, token and encoding_aes_key";
            let written: Vec<Written> =
                serde_json::from_str(text).map_err(|_| E::custom(wanted))?;
            written.into_iter().map(Written::parse).collect()
        }
    }

    deserializer.deserialize_any(Visitor)
}

/// Prints names, and placeholders for secrets.
fn hide_credentials<S: Serializer>(
    credentials: &[PushCredential],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Shown<'a> {
        name: &'a str,
        token: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        encoding_aes_key: Option<&'static str>,
    }

    let mut list = serializer.serialize_seq(Some(credentials.len()))?;
    for credential in credentials {
        list.serialize_element(&Shown {
            name: &credential.name,
            token: "***",
            encoding_aes_key: credential.key.as_ref().map(|_| "***"),
        })?;
    }
    list.end()
}
