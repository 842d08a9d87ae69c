//! Settings of analytics: validation and retention of events, and the sinks beside the database.

use std::time::Duration;

use avalon_config::{HttpUrl, Violation, rule, text};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::analytics::prepare::UnknownEvents;

/// `analytics`: events.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct AnalyticsConfig {
    /// What to do with events that the catalogue does not contain.
    pub unknown_events: UnknownEvents,
    /// Maximum age of an event on receipt.
    #[serde(with = "text::duration")]
    pub max_age: Duration,
    /// Retention of events in the database, in whole days.
    #[serde(with = "text::duration")]
    pub retention: Duration,
    /// Timeout of a sink for one batch.
    #[serde(with = "text::duration")]
    pub sink_timeout: Duration,
    /// ClickHouse's HTTP interface; unset: off.
    #[serde(deserialize_with = "text::optional")]
    pub clickhouse_url: Option<HttpUrl>,
    /// Table in ClickHouse: `DATABASE.TABLE`.
    pub clickhouse_table: String,
    /// User of ClickHouse.
    pub clickhouse_user: Option<String>,
    /// Password of that user.
    #[serde(deserialize_with = "text::secret", serialize_with = "text::hidden")]
    pub clickhouse_password: Option<SecretString>,
    /// Kafka brokers, `HOST:PORT`; empty: off.
    #[serde(deserialize_with = "text::list")]
    pub kafka_brokers: Vec<String>,
    /// Kafka topic.
    pub kafka_topic: String,
    /// URL of the collector; unset: off.
    #[serde(deserialize_with = "text::optional")]
    pub collector_url: Option<HttpUrl>,
    /// The collector's id of this project.
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
    /// Checks the section's own rules.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check(&self) -> Result<(), Violation> {
        let day = Duration::from_secs(24 * 60 * 60);
        rule(
            self.max_age > Duration::ZERO,
            "analytics.max_age",
            "must be longer than 0s",
        )?;
        rule(
            self.retention >= self.max_age.saturating_add(day),
            "analytics.retention",
            "must be at least a day longer than analytics.max_age",
        )?;
        rule(
            self.sink_timeout > Duration::ZERO && self.sink_timeout <= Duration::from_secs(30),
            "analytics.sink_timeout",
            "must be longer than 0s and at most 30s",
        )?;
        let word = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        rule(
            self.clickhouse_table.split('.').count() == 2
                && self.clickhouse_table.split('.').all(word),
            "analytics.clickhouse_table",
            "must be DATABASE.TABLE, each of letters, digits and _",
        )?;
        rule(
            !self.kafka_topic.is_empty(),
            "analytics.kafka_topic",
            "must not be empty",
        )?;
        rule(
            self.collector_url.is_none() || self.collector_app_id.is_some(),
            "analytics.collector_app_id",
            "required beside analytics.collector_url (the collector's id of this project)",
        )
    }

    /// Retention in days.
    pub fn retention_days(&self) -> i64 {
        i64::try_from(self.retention.as_secs() / (24 * 3600)).unwrap_or(i64::MAX)
    }

    /// Lists the configured sinks beside the database.
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

/// An external system that receives events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SinkName {
    /// ClickHouse.
    Clickhouse,
    /// Kafka or a compatible broker.
    Kafka,
    /// A collector with ThinkingData's protocol.
    Collector,
}

impl SinkName {
    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clickhouse => "clickhouse",
            Self::Kafka => "kafka",
            Self::Collector => "collector",
        }
    }
}
