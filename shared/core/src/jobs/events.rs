//! Delivery of event batches: one job per store and batch, enqueued together when a batch is accepted,
//! so that a store that is down delays no other.

use std::time::Duration;

use avalon_queue::{Job, JobId, NewJob, QueueName, RetryPolicy};
use serde::{Deserialize, Serialize};

use crate::analytics::EventBatch;
use crate::analytics::config::SinkName;

/// Covers an outage of about three days, in attempts and in the waits between them; batches that are
/// left then become dead letters, to be replayed.
const THREE_DAYS: RetryPolicy = RetryPolicy {
    max_attempts: 5000,
    base: Duration::from_secs(1),
    cap: Duration::from_secs(10),
};

macro_rules! event_jobs {
    ($($(#[$doc:meta])* $name:ident: $queue:expr, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub EventBatch);

        impl Job for $name {
            const QUEUE: QueueName = $queue;
            const KIND: &'static str = $kind;
            const RETRY: RetryPolicy = THREE_DAYS;
            const TIME_LIMIT: Duration = Duration::from_secs(60);
            const RESULT_TTL: Duration = Duration::from_secs(10);
            type Output = ();
        }
    )*};
}

event_jobs! {
    /// Stores a batch in the database.
    StoreEvents: super::EVENT, "store_events";
    /// Stores a batch that must not wait behind others.
    StoreRealtimeEvents: super::EVENT_REALTIME, "store_realtime_events";
    /// Sends a batch to ClickHouse.
    SendToClickhouse: super::SINK_CLICKHOUSE, "send_to_clickhouse";
    /// Sends a batch to Kafka.
    SendToKafka: super::SINK_KAFKA, "send_to_kafka";
    /// Sends a batch to the collector.
    SendToCollector: super::SINK_HTTP, "send_to_collector";
}

/// The jobs of a batch: one for the database, one for each sink.
pub fn jobs_of(batch: EventBatch, realtime: bool, sinks: &[SinkName]) -> Vec<NewJob> {
    let stored = if realtime {
        NewJob::from_job(&StoreRealtimeEvents(batch))
    } else {
        NewJob::from_job(&StoreEvents(batch))
    };
    let sent = sinks.iter().map(|sink| match sink {
        SinkName::Clickhouse => like::<SendToClickhouse>(&stored),
        SinkName::Kafka => like::<SendToKafka>(&stored),
        SinkName::Collector => like::<SendToCollector>(&stored),
    });
    let mut jobs: Vec<NewJob> = sent.collect();
    jobs.push(stored);
    jobs
}

/// The same batch for another store: all these kinds have the same retry rules.
fn like<J: Job>(job: &NewJob) -> NewJob {
    NewJob {
        id: JobId::generate(),
        queue: J::QUEUE,
        kind: J::KIND.to_owned(),
        ..job.clone()
    }
}
