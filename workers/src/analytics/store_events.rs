//! Delivers a batch of events to one sink: prepares it, and during an outage retries for as long as an
//! attempt lasts. That occupies only the sink's own pool, and keeps the backlog in the queue instead of
//! cycling it through retries.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use avalon_core::analytics::EventBatch;
use avalon_core::analytics::config::SinkName;
use avalon_core::analytics::prepare::prepare;
use avalon_core::base::problem::ProblemCode;
use avalon_core::jobs::{
    self, SendToClickhouse, SendToCollector, SendToKafka, StoreEvents, StoreRealtimeEvents,
};
use avalon_queue::{Failure, JobContext, JobError};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::analytics::sinks::{Delivery, EventSink, SinkError};
use crate::job_errors;
use crate::services::Services;

/// Time limit of the deliveries of one attempt; less than the kinds' time limit.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(40);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(2);

pub(crate) async fn store(
    services: Arc<Services>,
    StoreEvents(batch): StoreEvents,
    _: JobContext,
) -> Result<(), JobError> {
    store_batch(&services, batch).await
}

pub(crate) async fn store_realtime(
    services: Arc<Services>,
    StoreRealtimeEvents(batch): StoreRealtimeEvents,
    _: JobContext,
) -> Result<(), JobError> {
    store_batch(&services, batch).await
}

/// Stores a batch, and records which invited players have reached their milestone with it. Repeating the job
/// repeats both, which changes nothing.
async fn store_batch(services: &Services, batch: EventBatch) -> Result<(), JobError> {
    // Also by events that the catalogue samples out.
    let reached = services.invites.reached_by(&batch);
    deliver(services, &services.analytics.database, batch).await?;
    let reached = services.invites.reach(&reached, Timestamp::now()).await;
    reached.map(drop).map_err(job_errors::database)
}

pub(crate) async fn clickhouse(
    services: Arc<Services>,
    SendToClickhouse(batch): SendToClickhouse,
    _: JobContext,
) -> Result<(), JobError> {
    send(&services, SinkName::Clickhouse, batch).await
}

pub(crate) async fn kafka(
    services: Arc<Services>,
    SendToKafka(batch): SendToKafka,
    _: JobContext,
) -> Result<(), JobError> {
    send(&services, SinkName::Kafka, batch).await
}

pub(crate) async fn collector(
    services: Arc<Services>,
    SendToCollector(batch): SendToCollector,
    _: JobContext,
) -> Result<(), JobError> {
    send(&services, SinkName::Collector, batch).await
}

async fn send(services: &Services, name: SinkName, batch: EventBatch) -> Result<(), JobError> {
    let Some(sink) = services.analytics.sink(name) else {
        // Configured in the API but not here, for example during a rollout.
        let failure = Failure::new("SINK_NOT_CONFIGURED", "the sink is not configured here");
        return Err(JobError::retry(failure));
    };
    deliver(services, sink, batch).await
}

async fn deliver(
    services: &Services,
    sink: &dyn EventSink,
    batch: EventBatch,
) -> Result<(), JobError> {
    let analytics = &services.analytics;
    let deadline = Instant::now() + DELIVERY_TIMEOUT;
    let catalogue = analytics.catalogue.get(DELIVERY_TIMEOUT).await;
    let catalogue = catalogue.ok_or_else(|| job_errors::retry(ProblemCode::StoreUnavailable))?;
    let batch = Arc::new(prepare(batch, &catalogue, analytics.policy()));
    let (received_at, events) = (batch.head.received_at, batch.rows.len());
    let locations = match sink.needs_locations() {
        // Nothing to send. The database sink counts the dropped events.
        true if events == 0 => return Ok(()),
        true => analytics.profiles.of(&batch.head.players).await,
        false => HashMap::new(),
    };
    let delivery = Delivery { batch, locations };
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let accepted = tokio::time::timeout_at(deadline, sink.accept(&delivery)).await;
        let error = match accepted
            .unwrap_or_else(|_| Err(SinkError::Unavailable("timed out".to_owned())))
        {
            Ok(()) => {
                let now = Timestamp::now().as_millisecond();
                let lag = u64::try_from(now.saturating_sub(received_at)).unwrap_or(0);
                let lag = Duration::from_millis(lag);
                analytics
                    .metrics
                    .sunk(sink.name(), events, started.elapsed(), lag);
                return Ok(());
            }
            Err(error) => error,
        };
        analytics.metrics.sink_failed(sink.name());
        match error {
            SinkError::Rejected(reason) => {
                tracing::error!(sink = sink.name(), error = reason, "sink rejected a batch");
                let failure = Failure::new("SINK_REFUSED", reason);
                return Err(JobError::Fail(failure));
            }
            SinkError::Unavailable(reason) if Instant::now() + pause >= deadline => {
                tracing::warn!(
                    sink = sink.name(),
                    error = reason,
                    "sink unavailable, will retry"
                );
                return Err(JobError::retry(jobs::failure(
                    &ProblemCode::StoreUnavailable.into(),
                )));
            }
            SinkError::Unavailable(reason) => {
                tracing::debug!(
                    sink = sink.name(),
                    error = reason,
                    "sink unavailable, will retry"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
    }
}
