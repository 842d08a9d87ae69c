//! What becomes of a push: authenticated, judged, stored, and enqueued if a job has to process it. Nothing here
//! calls WeChat or waits for the queue.

use std::time::Duration;

use avalon_core::base::ids::PushId;
use avalon_core::jobs::ProcessPush;
use avalon_core::platform::pushes::{self, NewPush, Outcome, PushWriter, Stored};
use avalon_core::social::gifts;
use avalon_core::storage::database::{Database, DatabaseError};
use avalon_queue::{NewJob, Queue};
use avalon_wechat::message_push::{
    Event, EventKind, Push, PushAnswer, PushOutcome, PushQuery, PushReceiver, PushVerdict,
};
use avalon_wechat::virtual_payment::AppKeys;
use jiff::Timestamp;
use tracing::Instrument;

use crate::middleware::metrics::PushLabel;
use crate::middleware::trace_context::Trace;

/// The database must store a push within this. WeChat gives up after three seconds in payment events, and all
/// of the answer should take one.
const STORE_TIMEOUT: Duration = Duration::from_millis(900);
/// The queue must accept the job within this; otherwise the sweeper finds the push in its table.
const ENQUEUE_TIMEOUT: Duration = Duration::from_secs(3);

/// The endpoint of WeChat's message push. Cheap to clone.
#[derive(Clone)]
pub struct PushEndpoint {
    /// Authenticates.
    pub receiver: PushReceiver,
    /// Verifies payment events.
    pub keys: AppKeys,
    /// Stores.
    pub writer: PushWriter,
    /// Knows the players.
    pub database: Database,
    /// Enqueues.
    pub queue: Queue,
}

/// How a push is answered.
pub(super) enum Answer {
    /// With 200: it is on disk.
    Stored(PushAnswer),
    /// With 401.
    NotAuthentic,
    /// With 503.
    NotStored,
}

/// An answer and the labels under which it is counted.
pub(super) struct Received {
    pub(super) event: EventKind,
    pub(super) label: PushLabel,
    pub(super) answer: Answer,
}

impl PushEndpoint {
    /// Receives a push.
    pub(super) async fn receive(&self, query: &PushQuery, body: &[u8], trace: Trace) -> Received {
        let push = match self.receiver.open(query, body, Timestamp::now()) {
            Ok(push) => push,
            Err(error) => {
                let verdict = error.verdict();
                match verdict {
                    PushVerdict::Refused => tracing::info!(%error, "push refused"),
                    // Only WeChat can cause these, so the configuration differs from the console's.
                    PushVerdict::OtherApp | PushVerdict::Unreadable => {
                        tracing::error!(%error, "push of WeChat cannot be read");
                    }
                }
                return Received {
                    event: EventKind::Unknown,
                    label: verdict.into(),
                    answer: Answer::NotAuthentic,
                };
            }
        };
        self.store(&push, trace).await
    }

    async fn store(&self, push: &Push, trace: Trace) -> Received {
        let kind = push.kind();
        let event = push.event();
        let judged = pushes::judge(event.as_ref().map_err(|error| *error), &self.keys);
        let new = NewPush::new(push, &self.keys, judged.outcome);
        let accepted = || Answer::Stored(kind.answer().answer(push.format, judged.answer));
        let recipient = match (&event, judged.outcome) {
            (Ok(Event::GiftPack(gift)), None) => Some(&gift.open_id),
            _ => None,
        };
        let store = async {
            if let Some(open_id) = recipient
                && !gifts::is_player(&self.database, open_id).await?
            {
                return Ok(None);
            }
            self.writer.store(new).await.map(Some)
        };
        let stored: Result<Result<_, DatabaseError>, _> =
            tokio::time::timeout(STORE_TIMEOUT, store).await;
        let (label, answer) = match stored {
            Ok(Ok(None)) => {
                tracing::info!("gift refused, its player has never signed in");
                let answer = kind
                    .answer()
                    .answer(push.format, PushOutcome::NotRegistered);
                (PushLabel::NotRegistered, Answer::Stored(answer))
            }
            Ok(Ok(Some(Stored::New(id)))) => {
                report(push, id, judged.outcome);
                if judged.outcome.is_none() {
                    // Not awaited: a stored push is safe.
                    tokio::spawn(enqueue(self.queue.clone(), trace, id).in_current_span());
                }
                (judged.outcome.into(), accepted())
            }
            Ok(Ok(Some(Stored::Duplicate))) => (PushLabel::Duplicate, accepted()),
            Ok(Ok(Some(Stored::Replayed))) => {
                tracing::warn!("push refused, its query has signed another message");
                (PushLabel::Replayed, Answer::NotAuthentic)
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "push was not stored");
                (PushLabel::NotStored, Answer::NotStored)
            }
            Err(_) => {
                tracing::error!("push was not stored, the database did not respond in time");
                (PushLabel::NotStored, Answer::NotStored)
            }
        };
        Received {
            event: kind,
            label,
            answer,
        }
    }
}

/// Logs a push that an operator should know of.
fn report(push: &Push, id: PushId, outcome: Option<Outcome>) {
    let (event, push_id) = (push.kind().to_string(), id.to_string());
    match outcome {
        None | Some(Outcome::Stored | Outcome::Applied | Outcome::Unmapped | Outcome::Test) => {}
        Some(Outcome::UnknownEvent) => {
            tracing::info!(push_id, "push of an event that this version does not know");
        }
        Some(outcome) => tracing::error!(push_id, event, %outcome, "push answered with a failure"),
    }
}

/// Enqueues the job of a stored push. When that fails, the sweeper does it.
async fn enqueue(queue: Queue, trace: Trace, push_id: PushId) {
    let job = ProcessPush {
        push_id,
        replayed_at: None,
    };
    let attempt = queue.enqueue(NewJob::from_job(&job).traced(trace.0.to_string()));
    match tokio::time::timeout(ENQUEUE_TIMEOUT, attempt).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "push left to the sweeper"),
        Err(_) => tracing::warn!("push left to the sweeper, the queue did not respond"),
    }
}
