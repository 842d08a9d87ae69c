//! The sinks of events: the database and other systems, behind one trait. Each has its own queue and job
//! kind. Retries are up to the job, not to the sink.

mod clickhouse;
mod collector;
mod database;
mod kafka;
mod record;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use avalon_core::analytics::prepare::Prepared;
use avalon_core::analytics::profiles::Home;

pub(crate) use clickhouse::Clickhouse;
pub(crate) use collector::Collector;
pub(crate) use database::DatabaseSink;
pub(crate) use kafka::KafkaSink;

/// A batch with the locations of its players.
pub(crate) struct Delivery {
    pub(crate) batch: Arc<Prepared>,
    /// By user id, where known.
    pub(crate) locations: HashMap<String, Home>,
}

/// Reason why a sink did not accept a batch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    /// Down or overloaded: it may accept the batch later.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// It will never accept this batch.
    #[error("rejected: {0}")]
    Rejected(String),
}

/// A system that stores events.
#[async_trait]
pub(crate) trait EventSink: Send + Sync {
    /// Returns the name in metrics and logs.
    fn name(&self) -> &'static str;

    /// Whether it needs the players' locations. The database has them itself.
    fn needs_locations(&self) -> bool {
        true
    }

    /// Stores a batch; after `Ok` it is durable in the sink. The same batch may be delivered again, and the
    /// sink should deduplicate events by id.
    async fn accept(&self, delivery: &Delivery) -> Result<(), SinkError>;
}

/// Truncates a response for the logs.
fn truncated(text: &str) -> String {
    text.chars().take(200).collect()
}
