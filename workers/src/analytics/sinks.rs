//! Where events go: the database and other systems, behind one trait. Each has a queue and a job
//! kind of its own; how long one that is away is waited for is decided there, not here.

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

/// A batch with what a sink may want to know of its players.
pub(crate) struct Delivery {
    pub(crate) batch: Arc<Prepared>,
    /// By the ids of players; only those that are known.
    pub(crate) homes: HashMap<String, Home>,
}

/// A sink did not take a batch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    /// It is away or busy: it may take the batch later.
    #[error("away: {0}")]
    Away(String),
    /// It will never take this batch.
    #[error("refused: {0}")]
    Refused(String),
}

/// Somebody who takes events.
#[async_trait]
pub(crate) trait EventSink: Send + Sync {
    /// The word in metrics.
    fn name(&self) -> &'static str;

    /// Whether it wants the players' homes; the database has them itself.
    fn wants_homes(&self) -> bool {
        true
    }

    /// Takes a batch; when this returns `Ok` the sink is answerable for it. It may be given the
    /// same batch again, and should keep each event once, by its id.
    async fn take(&self, delivery: &Delivery) -> Result<(), SinkError>;
}

/// The beginning of an answer, for the logs.
fn beginning(text: &str) -> String {
    text.chars().take(200).collect()
}
