//! Jobs about events, and what their handlers share: the catalogue, the sinks (including the database) and
//! the relay of the service's own events.

pub(crate) mod event_retention;
pub(crate) mod relay_events;
mod sinks;
pub(crate) mod store_events;

use avalon_core::analytics::catalogue::CatalogueReader;
use avalon_core::analytics::config::{AnalyticsConfig, SinkName};
use avalon_core::analytics::prepare::{Policy, UnknownEvents};
use avalon_core::analytics::profiles::Profiles;
use avalon_core::analytics::writer::EventWriter;
use avalon_core::analytics::{Day, EventMetrics};
use avalon_core::storage::config::DatabaseConfig;
use avalon_core::storage::database::{Database, DatabaseError};
use avalon_queue::Queue;
use jiff::Timestamp;

use crate::analytics::relay_events::Relay;
use crate::analytics::sinks::{Clickhouse, Collector, DatabaseSink, EventSink, KafkaSink};

/// Shared state of the event handlers.
pub struct Analytics {
    pub(crate) catalogue: CatalogueReader,
    pub(crate) metrics: EventMetrics,
    pub(crate) profiles: Profiles,
    pub(crate) relay: Relay,
    pub(crate) retention_days: i64,
    pub(crate) max_age_days: i64,
    pub(crate) database: DatabaseSink,
    sinks: Vec<(SinkName, Box<dyn EventSink>)>,
    unknown: UnknownEvents,
}

/// Reason why the state cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum AnalyticsError {
    /// The database URL is unusable.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// An HTTP client of a sink cannot be created.
    #[error("cannot create an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

impl Analytics {
    /// Creates the configured sinks and starts the background tasks.
    ///
    /// # Errors
    /// [`AnalyticsError`].
    pub fn start(
        analytics: &AnalyticsConfig,
        connection: &DatabaseConfig,
        database: &Database,
        queue: &Queue,
        metrics: EventMetrics,
    ) -> Result<Self, AnalyticsError> {
        let writer = EventWriter::spawn(database.clone(), connection, metrics.clone())?;
        let mut sinks: Vec<(SinkName, Box<dyn EventSink>)> = Vec::new();
        if let Some(clickhouse) = Clickhouse::of(analytics)? {
            sinks.push((SinkName::Clickhouse, Box::new(clickhouse)));
        }
        if let Some(kafka) = KafkaSink::of(analytics) {
            sinks.push((SinkName::Kafka, Box::new(kafka)));
        }
        if let Some(collector) = Collector::of(analytics)? {
            sinks.push((SinkName::Collector, Box::new(collector)));
        }
        let database_sink = DatabaseSink(writer);
        for sink in sinks.iter().map(|(_, sink)| &**sink) {
            metrics.sink(sink.name());
        }
        metrics.sink(database_sink.name());
        let max_age = analytics.max_age.as_secs().div_ceil(24 * 3600);
        Ok(Self {
            catalogue: CatalogueReader::spawn(database.clone()),
            metrics,
            profiles: Profiles::new(database.clone()),
            relay: Relay::spawn(database.clone(), queue.clone(), analytics.sinks()),
            retention_days: analytics.retention_days(),
            max_age_days: i64::try_from(max_age).unwrap_or(i64::MAX),
            database: database_sink,
            sinks,
            unknown: analytics.unknown_events,
        })
    }

    /// Returns the sink if it is configured.
    pub(crate) fn sink(&self, name: SinkName) -> Option<&dyn EventSink> {
        let found = self.sinks.iter().find(|(other, _)| *other == name);
        found.map(|(_, sink)| &**sink)
    }

    /// Returns the first day within the retention.
    pub(crate) fn oldest(&self) -> Day {
        Day::of(Timestamp::now()).plus(-self.retention_days)
    }

    /// Returns the current policy for events.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            unknown: self.unknown,
            oldest: self.oldest(),
        }
    }
}
