//! Shared by the public and the internal route of events: validates the events of an envelope one by one,
//! and enqueues the accepted ones.

use std::collections::HashMap;

use avalon_core::analytics::config::SinkName;
use avalon_core::analytics::incoming::{self, AcceptedEvent, Clock, EventRefusal};
use avalon_core::analytics::metrics::EventOutcome;
use avalon_core::analytics::{BatchHead, EventBatch, EventMetrics, Player, Source, payment_sheets};
use avalon_core::base::ids::UserId;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs::events::jobs_of;
use avalon_queue::Queue;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use ulid::Ulid;
use utoipa::ToSchema;

use crate::http::job_response::enqueue_all;
use crate::http::problem::ApiError;
use crate::routes::analytics::envelope::Envelope;
use crate::routes::analytics::event_budget::EventBudget;
use crate::routes::analytics::queue_room::QueueRoom;

/// What events are ingested with. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    /// Counts events.
    pub metrics: EventMetrics,
    /// External systems to which events are forwarded.
    pub sinks: std::sync::Arc<[SinkName]>,
    /// Whether the queue has memory left for events.
    pub room: QueueRoom,
    /// Maximum age of an event, in milliseconds.
    pub max_age_ms: i64,
}

/// The result for the events of a request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportAnswer)]
pub(crate) struct ReportResponse {
    /// Always true.
    success: bool,
    /// Number of accepted events.
    accepted: usize,
    /// Rejected events; do not send them again unchanged.
    rejected: Vec<Rejected>,
}

/// A rejected event.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Rejected {
    /// Its index in the request, from 0.
    index: usize,
    /// Why it was rejected.
    code: EventRefusal,
}

/// The players whose events a request may contain.
pub(crate) enum Senders {
    /// Only this player; the ids in the events are ignored.
    One(Player),
    /// Any player; each event has the `userId` of its player, or an `openId` of these.
    Any(HashMap<String, UserId>),
}

/// Accepted events of one class (batch or real-time).
#[derive(Default)]
struct Class {
    players: Vec<Player>,
    events: Vec<AcceptedEvent>,
}

impl Events {
    /// Validates the events one by one and enqueues the accepted ones.
    ///
    /// `budget`: of the player who reports; `None`: the sender is trusted.
    ///
    /// # Errors
    /// `RATE_LIMITED` when the budget is used up, or when the events could not be enqueued; then none is
    /// accepted.
    pub(crate) async fn ingest(
        &self,
        mut envelope: Envelope,
        senders: Senders,
        source: Source,
        queue: &Queue,
        traceparent: Option<String>,
        budget: Option<&EventBudget>,
    ) -> Result<ReportResponse, ApiError> {
        let client = envelope.client()?;
        if let Some(budget) = budget {
            budget
                .take_report(envelope.events.len(), envelope.bytes)
                .await?;
        }
        let clock = Clock::new(Timestamp::now(), envelope.sent_at, self.max_age_ms);
        let (classes, rejected) = sort(&envelope.events, &clock, senders);
        let accepted = classes.iter().map(|class| class.events.len()).sum();
        let (mut jobs, mut stored_bytes) = (Vec::new(), 0);
        let sheets: Vec<_> = (classes.iter().flat_map(|class| &class.events))
            .filter_map(|event| payment_sheets::code_of(&event.line))
            .collect();
        for (class, realtime) in classes.into_iter().zip([false, true]) {
            if class.events.is_empty() {
                continue;
            }
            let batch = EventBatch {
                head: BatchHead {
                    id: Ulid::generate(),
                    received_at: clock.received_at,
                    source,
                    players: class.players,
                    client: client.clone(),
                },
                events: class
                    .events
                    .into_iter()
                    .map(|accepted| accepted.line)
                    .collect(),
            };
            let copies = jobs_of(batch, realtime, &self.sinks);
            // Each job has the same batch. A player's budget must not depend on the number of sinks.
            stored_bytes += copies.first().map_or(0, |job| job.payload.get().len());
            jobs.extend(copies);
        }
        if let Some(traceparent) = traceparent {
            for job in &mut jobs {
                job.traceparent = Some(traceparent.clone());
            }
        }
        if !jobs.is_empty() {
            if !self.room.is_available() {
                let detail = "The queue has no memory left for events. Send them again later.";
                return Err(Problem::new(ProblemCode::QueueUnavailable)
                    .with_detail(detail)
                    .into());
            }
            if let Some(budget) = budget {
                budget.take_stored(stored_bytes).await?;
            }
            enqueue_all(queue, jobs).await?;
        }
        self.metrics.count(EventOutcome::Accepted, accepted);
        self.metrics.count(EventOutcome::Rejected, rejected.len());
        for code in sheets {
            self.metrics.payment_sheet(code);
        }
        Ok(ReportResponse {
            success: true,
            accepted,
            rejected,
        })
    }
}

/// Splits events into the classes batch and real-time, and the rejected ones.
fn sort(events: &[Box<RawValue>], clock: &Clock, senders: Senders) -> ([Class; 2], Vec<Rejected>) {
    let (mut classes, mut rejected) = ([Class::default(), Class::default()], Vec::new());
    if let Senders::One(player) = &senders {
        for class in &mut classes {
            class.players.push(player.clone());
        }
    }
    for (index, event) in events.iter().enumerate() {
        let accepted = incoming::check(event, clock).and_then(|mut accepted| {
            let class = &mut classes[usize::from(accepted.realtime)];
            if let Senders::Any(users) = &senders {
                accepted.line.player = player_index(class, &mut accepted, users)?;
            }
            class.events.push(accepted);
            Ok(())
        });
        if let Err(code) = accepted {
            rejected.push(Rejected { index, code });
        }
    }
    (classes, rejected)
}

/// Returns the index of the event's player among those of its class.
fn player_index(
    class: &mut Class,
    accepted: &mut AcceptedEvent,
    users: &HashMap<String, UserId>,
) -> Result<usize, EventRefusal> {
    let open_id = accepted.open_id.take();
    let user_id = match (accepted.user_id.take(), &open_id) {
        (Some(user_id), _) if user_id.parse::<UserId>().is_ok() => user_id,
        (Some(_), _) | (None, None) => return Err(EventRefusal::UserIdInvalid),
        (None, Some(open_id)) => {
            let user_id = users.get(open_id).ok_or(EventRefusal::OpenIdInvalid)?;
            user_id.to_string()
        }
    };
    let player = Player { user_id, open_id };
    let known = class.players.iter().position(|other| *other == player);
    Ok(known.unwrap_or_else(|| {
        class.players.push(player);
        class.players.len() - 1
    }))
}

#[cfg(test)]
mod tests;
