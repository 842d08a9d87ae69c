//! Events: reports are enqueued as they are, and copied into the day's partition, many per transaction.

use std::fmt::Write;
use std::ops::Range;
use std::pin::pin;

use avalon_core::analytics::day::Day;
use bytes::Bytes;
use futures_util::SinkExt;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::BATCH;
use super::lane::Lane;
use crate::Outcome;
use crate::compare::report;

const COPY: &str =
    "COPY analytics_events (day, at, received_at, event_id, user_id, event_name, params, source,
    known) FROM STDIN";

/// Enqueues a batch of reports.
pub(super) async fn accept(lane: &mut Lane, batch: Range<u64>) -> Outcome<()> {
    let now = Timestamp::now().as_millisecond();
    lane.enqueue(batch.map(|number| report(number, now).into_bytes()))
        .await
}

#[derive(Deserialize)]
struct Report<'a> {
    #[serde(borrow)]
    events: Vec<Event<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    event_name: &'a str,
    timestamp: i64,
    #[serde(borrow)]
    event_params: &'a RawValue,
}

/// Stores a batch of reports.
pub(super) async fn process(lane: &mut Lane) -> Outcome<()> {
    let jobs = lane.lease(BATCH).await?;
    if jobs.is_empty() {
        return Ok(());
    }
    let now = Timestamp::now();
    let (received, day) = (now.as_millisecond(), Day::of(now).number());
    let mut rows = String::with_capacity(256 * 1024);
    for job in &jobs {
        let report: Report<'_> = serde_json::from_slice(&job.body)?;
        let id = ulid::Ulid::generate();
        for (position, event) in report.events.iter().enumerate() {
            let Event {
                event_name,
                timestamp,
                event_params,
            } = event;
            // Nothing in these reports needs escaping.
            writeln!(
                rows,
                "{day}\t{timestamp}\t{received}\t{id}:{position}\tfloor\t{event_name}\t{event_params}\tclient\t1"
            )?;
        }
    }
    let mut sink = pin!(lane.postgres.copy_in::<_, Bytes>(COPY).await?);
    sink.send(Bytes::from(rows)).await?;
    sink.finish().await?;
    lane.settle_all(&jobs, "stored").await
}
