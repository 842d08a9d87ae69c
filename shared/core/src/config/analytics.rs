//! `analytics`: what is kept of events, how long, and who else is sent them.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::sections::HttpUrl;
use super::text;
use crate::analytics::prepare::UnknownEvents;

/// `analytics`: events.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct AnalyticsConfig {
    /// What becomes of events that the catalogue does not know.
    pub unknown_events: UnknownEvents,
    /// How long ago an event may have happened when it comes.
    #[serde(with = "text::duration")]
    pub max_age: Duration,
    /// How long events are kept in the database, in whole days.
    #[serde(with = "text::duration")]
    pub retention: Duration,
    /// How long a sink may take for a batch.
    #[serde(with = "text::duration")]
    pub sink_timeout: Duration,
    /// ClickHouse's HTTP interface; unset: no events go there.
    #[serde(deserialize_with = "text::optional")]
    pub clickhouse_url: Option<HttpUrl>,
    /// Its table, with its database: `DATABASE.TABLE`.
    pub clickhouse_table: String,
    /// Its user.
    pub clickhouse_user: Option<String>,
    /// Its password.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub clickhouse_password: Option<SecretString>,
    /// Brokers of Kafka, `HOST:PORT`; empty: no events go there.
    #[serde(deserialize_with = "text::list")]
    pub kafka_brokers: Vec<String>,
    /// Its topic.
    pub kafka_topic: String,
    /// Where the collector is; unset: no events go there.
    #[serde(deserialize_with = "text::optional")]
    pub collector_url: Option<HttpUrl>,
    /// The collector's name of this project.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub collector_app_id: Option<SecretString>,
}

impl Default for AnalyticsConfig {
    fn default() -> Self {
        Self {
            unknown_events: UnknownEvents::default(),
            max_age: Duration::from_secs(7 * 24 * 3600),
            retention: Duration::from_secs(90 * 24 * 3600),
            sink_timeout: Duration::from_secs(10),
            clickhouse_url: None,
            clickhouse_table: "default.avalon_events".to_owned(),
            clickhouse_user: None,
            clickhouse_password: None,
            kafka_brokers: Vec::new(),
            kafka_topic: "avalon-events".to_owned(),
            collector_url: None,
            collector_app_id: None,
        }
    }
}

impl AnalyticsConfig {
    /// How many days are kept.
    pub fn retention_days(&self) -> i64 {
        i64::try_from(self.retention.as_secs() / (24 * 3600)).unwrap_or(i64::MAX)
    }

    /// Other systems that are sent events.
    pub fn sinks(&self) -> Vec<SinkName> {
        let configured = [
            (SinkName::Clickhouse, self.clickhouse_url.is_some()),
            (SinkName::Kafka, !self.kafka_brokers.is_empty()),
            (SinkName::Collector, self.collector_url.is_some()),
        ];
        let configured = configured.into_iter().filter(|(_, there)| *there);
        configured.map(|(name, _)| name).collect()
    }
}

/// Another system to which events are sent. Its name is a label value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum SinkName {
    /// ClickHouse.
    Clickhouse,
    /// Kafka, or what speaks its protocol.
    Kafka,
    /// A collector in the manner of ThinkingData.
    Collector,
}
