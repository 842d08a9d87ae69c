//! A collector in the manner of ThinkingData: `POST /sync_server` with a JSON list, packed with
//! gzip, of events whose own names begin with `#`. Answered by `{"code": 0}`. It keeps each event
//! once by its `#uuid`.

use std::io::Write;

use async_trait::async_trait;
use avalon_core::analytics::config::AnalyticsConfig;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use jiff::tz::Offset;
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::record::Record;
use super::{Delivery, EventSink, SinkError, beginning};

/// Beijing's.
const ZONE_OFFSET: i8 = 8;

pub(crate) struct Collector {
    client: Client,
    url: Url,
    app_id: SecretString,
}

impl Collector {
    /// As configured, if it is.
    pub(crate) fn of(config: &AnalyticsConfig) -> Result<Option<Self>, reqwest::Error> {
        let (Some(url), Some(app_id)) = (&config.collector_url, &config.collector_app_id) else {
            return Ok(None);
        };
        let client = Client::builder()
            .no_proxy()
            .timeout(config.sink_timeout)
            .build()?;
        let mut url = url.as_url().clone();
        let path = format!("{}/sync_server", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Some(Self {
            client,
            url,
            app_id: app_id.clone(),
        }))
    }
}

/// Times have no offset in this format; `#zone_offset` says which one is meant.
fn time(at: Timestamp) -> String {
    Offset::constant(ZONE_OFFSET)
        .to_datetime(at)
        .strftime("%Y-%m-%d %H:%M:%S.%3f")
        .to_string()
}

/// Names of events and properties: a letter, then letters, digits and underscores, at most 50.
fn name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = text.chars().map(plain).take(50).collect();
    match name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        true => name,
        false => format!("e_{name}").chars().take(50).collect(),
    }
}

fn event(record: &Record<'_>) -> Value {
    let params: Map<String, Value> =
        serde_json::from_str(record.event_params.get()).unwrap_or_default();
    let mut properties: Map<String, Value> = params
        .into_iter()
        .map(|(key, value)| (name(&key), value))
        .collect();
    for (key, value) in [
        ("#zone_offset", json!(ZONE_OFFSET)),
        ("#app_version", json!(record.app_version)),
        ("#os", json!(record.platform)),
        ("#scene", json!(record.scene.map(|scene| scene.to_string()))),
        ("#country", json!(record.country)),
        ("#city", json!(record.city)),
        ("avalon_session_id", json!(record.session_id)),
        ("avalon_source", json!(record.source)),
    ] {
        if !value.is_null() {
            properties.insert(key.to_owned(), value);
        }
    }
    json!({
        "#type": "track",
        "#event_name": name(record.event_name),
        "#time": time(record.timestamp),
        "#account_id": record.user_id,
        "#distinct_id": record.open_id.unwrap_or(record.user_id),
        // Ids are unique for a player only.
        "#uuid": format!("{}-{}", record.user_id, record.id),
        "properties": properties,
    })
}

fn pack(events: &[Value]) -> std::io::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    serde_json::to_writer(&mut packer, events)?;
    packer.flush()?;
    packer.finish()
}

#[derive(Deserialize)]
struct CollectorAnswer {
    code: i64,
}

#[async_trait]
impl EventSink for Collector {
    fn name(&self) -> &'static str {
        "collector"
    }

    async fn take(&self, delivery: &Delivery) -> Result<(), SinkError> {
        let events: Vec<Value> = delivery.records().map(|record| event(&record)).collect();
        let body = pack(&events).map_err(|error| SinkError::Refused(error.to_string()))?;
        let away = |error: reqwest::Error| SinkError::Away(error.without_url().to_string());
        let answer = self
            .client
            .post(self.url.clone())
            .header("appid", self.app_id.expose_secret())
            .header("compress", "gzip")
            .header("TA-Integration-Type", "avalon-wx")
            .header("TA-Integration-Version", env!("CARGO_PKG_VERSION"))
            .header("TA-Integration-Count", events.len())
            .header("content-type", "text/plain")
            .body(body)
            .send()
            .await
            .map_err(away)?;
        let status = answer.status();
        let text = answer.text().await.map_err(away)?;
        // Other codes are about the project or the server, which an operator can mend.
        match serde_json::from_str::<CollectorAnswer>(&text) {
            Ok(CollectorAnswer { code: 0 }) if status.is_success() => Ok(()),
            _ => Err(SinkError::Away(format!("{status}: {}", beginning(&text)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_such_that_the_collector_takes_them() {
        assert_eq!(name("level_end"), "level_end");
        assert_eq!(name("a.b:c"), "a_b_c");
        assert_eq!(name("3d"), "e_3d");
        assert_eq!(name("关卡"), "e___");
        assert_eq!(name(&"x".repeat(64)).len(), 50);
    }

    #[test]
    fn times_are_beijings() {
        let at: Timestamp = "2026-01-01T16:00:00.5Z".parse().unwrap();
        assert_eq!(time(at), "2026-01-02 00:00:00.500");
    }
}
