//! What the handlers of events work with: the catalogue, the sinks with the database among them,
//! and the relay of our own events.

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

/// What the handlers of events work with.
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

/// The parts could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AnalyticsError {
    /// The database's URL.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The HTTP client of a sink.
    #[error("an HTTP client could not be made: {0}")]
    Client(#[from] reqwest::Error),
}

impl Analytics {
    /// Makes the parts as configured, and starts their tasks.
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

    /// The sink of this name, if it is configured.
    pub(crate) fn sink(&self, name: SinkName) -> Option<&dyn EventSink> {
        let found = self.sinks.iter().find(|(other, _)| *other == name);
        found.map(|(_, sink)| &**sink)
    }

    /// The oldest day that is kept.
    pub(crate) fn oldest(&self) -> Day {
        Day::of(Timestamp::now()).plus(-self.retention_days)
    }

    /// How events are judged now.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            unknown: self.unknown,
            oldest: self.oldest(),
        }
    }
}
