//! What becomes of a push: authenticated, judged, stored, and enqueued if a job has to process it. Nothing here
//! calls WeChat or waits for the queue.

use std::time::Duration;

use avalon_core::base::ids::PushId;
use avalon_core::jobs::ProcessPush;
use avalon_core::platform::pushes::{self, Judgement, NewPush, Outcome, PushWriter, Stored};
use avalon_core::social::gifts;
use avalon_core::storage::database::{Database, DatabaseError};
use avalon_queue::{NewJob, Queue};
use avalon_wechat::message_push::{
    Event, EventKind, GiftPack, Push, PushAnswer, PushOutcome, PushQuery, PushReceiver, PushVerdict,
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
        let stored = tokio::time::timeout(STORE_TIMEOUT, async {
            let judged = match (&event, judged.outcome) {
                (Ok(Event::GiftPack(gift)), None) => self.judge_recipient(gift).await?,
                _ => judged,
            };
            let new = NewPush::new(push, &self.keys, judged.outcome);
            let again = NewPush::clone(&new);
            let stored = match self.writer.store(new).await? {
                // Its player has signed in since the delivery before.
                Stored::Duplicate if kind == EventKind::GiftPack && judged.outcome.is_none() => {
                    pushes::accept_registered(&self.database, &again, Timestamp::now()).await?
                }
                stored => stored,
            };
            Ok::<_, DatabaseError>((stored, judged))
        });
        let answer =
            |judged: Judgement| Answer::Stored(kind.answer().answer(push.format, judged.answer));
        let (label, answer) = match stored.await {
            Ok(Ok((Stored::New(id), judged))) => {
                report(push, id, judged.outcome);
                if judged.outcome.is_none() {
                    // Not awaited: a stored push is safe.
                    tokio::spawn(enqueue(self.queue.clone(), trace, id).in_current_span());
                }
                (judged.outcome.into(), answer(judged))
            }
            Ok(Ok((Stored::Duplicate, judged))) => (PushLabel::Duplicate, answer(judged)),
            Ok(Ok((Stored::Replayed, _))) => {
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

    /// WeChat wants to know at once whether the player of a gift has ever signed in.
    async fn judge_recipient(&self, gift: &GiftPack) -> Result<Judgement, DatabaseError> {
        Ok(
            match gifts::is_player(&self.database, &gift.open_id).await? {
                true => Judgement {
                    outcome: None,
                    answer: PushOutcome::Accepted,
                },
                false => Judgement {
                    outcome: Some(Outcome::NotRegistered),
                    answer: PushOutcome::NotRegistered,
                },
            },
        )
    }
}

/// Logs a push that an operator should know of.
fn report(push: &Push, id: PushId, outcome: Option<Outcome>) {
    let (event, push_id) = (push.kind().to_string(), id.to_string());
    match outcome {
        None | Some(Outcome::Stored | Outcome::Applied | Outcome::Unmapped | Outcome::Test) => {}
        Some(Outcome::NotRegistered) => {
            tracing::info!(push_id, "gift refused, its player has never signed in");
        }
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
