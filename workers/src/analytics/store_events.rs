//! Brings a batch of events to one store: prepares it, and waits for a store that is away as long
//! as an attempt lasts. Waiting costs nobody anything but a place in that store's own pool, and
//! leaves the backlog where it is instead of sending it round by retries.

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

/// How long an attempt waits for its store; less than the kinds' time limit.
const PATIENCE: Duration = Duration::from_secs(40);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(crate) async fn store(
    services: Arc<Services>,
    StoreEvents(batch): StoreEvents,
    _: JobContext,
) -> Result<(), JobError> {
    deliver(&services, &services.analytics.database, batch).await
}

pub(crate) async fn store_realtime(
    services: Arc<Services>,
    StoreRealtimeEvents(batch): StoreRealtimeEvents,
    _: JobContext,
) -> Result<(), JobError> {
    deliver(&services, &services.analytics.database, batch).await
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
        // The API knows it and these workers do not: not yet, during a rollout, or not any more.
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
    let deadline = Instant::now() + PATIENCE;
    let catalogue = analytics.catalogue.get(PATIENCE).await;
    let catalogue = catalogue.ok_or_else(|| job_errors::retry(ProblemCode::StoreUnavailable))?;
    let batch = Arc::new(prepare(batch, &catalogue, analytics.policy()));
    let (received_at, events) = (batch.head.received_at, batch.rows.len());
    let homes = match sink.wants_homes() {
        // Nothing is left to be sent. (The database counts what was left out.)
        true if events == 0 => return Ok(()),
        true => analytics.profiles.of(&batch.head.players).await,
        false => HashMap::new(),
    };
    let delivery = Delivery { batch, homes };
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        let taken = tokio::time::timeout_at(deadline, sink.take(&delivery)).await;
        let error = match taken.unwrap_or_else(|_| Err(SinkError::Away("no answer".to_owned()))) {
            Ok(()) => {
                let now = Timestamp::now().as_millisecond();
                let lag = u64::try_from(now.saturating_sub(received_at)).unwrap_or(0);
                let lag = Duration::from_millis(lag);
                analytics
                    .metrics
                    .sunk(sink.name(), events, begun.elapsed(), lag);
                return Ok(());
            }
            Err(error) => error,
        };
        analytics.metrics.sink_failed(sink.name());
        match error {
            SinkError::Refused(why) => {
                tracing::error!(sink = sink.name(), error = why, "a sink refused a batch");
                let failure = Failure::new("SINK_REFUSED", why);
                return Err(JobError::Fail(failure));
            }
            SinkError::Away(why) if Instant::now() + pause >= deadline => {
                tracing::warn!(sink = sink.name(), error = why, "a sink is away");
                return Err(JobError::retry(jobs::failure(
                    &ProblemCode::StoreUnavailable.into(),
                )));
            }
            SinkError::Away(why) => {
                tracing::debug!(sink = sink.name(), error = why, "a sink is away");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
