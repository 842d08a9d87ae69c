//! What the public and the internal route of events share: how an envelope is read, how its events
//! are checked one by one, and how what was taken becomes jobs.

use avalon_core::analytics::config::SinkName;
use avalon_core::analytics::incoming::{self, Clock, EventRefusal, MOST_EVENTS, Taken};
use avalon_core::analytics::metrics::EventOutcome;
use avalon_core::analytics::{BatchHead, Client, EventBatch, EventMetrics, Player, Source};
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs::events::jobs_of;
use avalon_queue::Queue;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use ulid::Ulid;
use utoipa::ToSchema;

use crate::http::answer::enqueue_all;
use crate::http::extract::{self, invalid_field, plain};
use crate::http::gzip::Packing;
use crate::http::problem::ApiError;
use crate::routes::analytics::queue_room::QueueRoom;

/// Most bytes of a body, packed and unpacked.
pub(crate) const MOST_BYTES: usize = 1024 * 1024;
/// A body that is larger than this is unpacked and read where it keeps nobody waiting.
const LARGE: usize = 32 * 1024;

/// What routes of events work with. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    /// Counts events.
    pub metrics: EventMetrics,
    /// Other systems that are sent events.
    pub sinks: std::sync::Arc<[SinkName]>,
    /// Whether the queue has room for them.
    pub room: QueueRoom,
    /// How long ago an event may have happened.
    pub max_age_ms: i64,
}

/// The envelope, its events unread.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Envelope {
    events: Vec<Box<RawValue>>,
    #[serde(default, deserialize_with = "time")]
    sent_at: Option<Timestamp>,
    app_version: Option<String>,
    platform: Option<String>,
    scene: Option<i64>,
}

/// What happened to the events of a request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReportAnswer {
    /// Always true: whatever could be taken was taken.
    success: bool,
    /// How many were taken.
    accepted: usize,
    /// Those that were not.
    rejected: Vec<Rejected>,
}

/// An event that was not taken.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Rejected {
    /// Its place in the list, from 0.
    index: usize,
    /// Why.
    code: EventRefusal,
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        None => Ok(None),
        Some(value) => incoming::read_time(&value)
            .map(Some)
            .ok_or_else(|| D::Error::custom("must be Unix ms or ISO 8601 with an offset")),
    }
}

impl Envelope {
    fn check(&self) -> Result<(), Problem> {
        if !(1..=MOST_EVENTS).contains(&self.events.len()) {
            let rule = format!("1 to {MOST_EVENTS} are needed");
            return Err(invalid_field("events", rule));
        }
        if self
            .scene
            .is_some_and(|scene| !(0..=i64::from(i32::MAX)).contains(&scene))
        {
            return Err(invalid_field("scene", "must be a number of WeChat's list"));
        }
        Ok(())
    }

    fn client(&mut self) -> Result<Client, Problem> {
        Ok(Client {
            app_version: plain("appVersion", self.app_version.take(), 32)?,
            platform: plain("platform", self.platform.take(), 32)?,
            scene: self.scene,
        })
    }
}

/// Whose events a request may bring.
pub(crate) enum Senders {
    /// This player's alone; what an event says of its player is not heard.
    One(Player),
    /// Any player's; each event says whose it is.
    Any,
}

/// Events that were taken, of one class.
#[derive(Default)]
struct Class {
    players: Vec<Player>,
    events: Vec<Taken>,
}

/// Reads the body of a request with events.
pub(crate) async fn read(body: Body, headers: &HeaderMap) -> Result<Envelope, ApiError> {
    if !extract::is_json(headers) {
        return Err(ProblemCode::UnsupportedMediaType.into());
    }
    let packing = Packing::of(headers)?;
    let body = extract::read(body, headers, MOST_BYTES).await?;
    if body.is_empty() {
        return Err(ProblemCode::BodyMissing.into());
    }
    if body.len() <= LARGE {
        return Ok(open(packing, body)?);
    }
    let opened = tokio::task::spawn_blocking(move || open(packing, body)).await;
    // Its panic was told already.
    Ok(opened.map_err(|_| ApiError::from(ProblemCode::Internal))??)
}

fn open(packing: Packing, body: Bytes) -> Result<Envelope, Problem> {
    let body = packing.unpack(body, MOST_BYTES)?;
    let envelope: Envelope = extract::parse(&body)?;
    envelope.check()?;
    Ok(envelope)
}

impl Events {
    /// Checks the events one by one and puts what is good into the queue: when this returns `Ok`
    /// it is there, or nothing was good.
    pub(crate) async fn take(
        &self,
        mut envelope: Envelope,
        senders: Senders,
        source: Source,
        queue: &Queue,
        traceparent: Option<String>,
    ) -> Result<ReportAnswer, ApiError> {
        let client = envelope.client()?;
        let clock = Clock::new(Timestamp::now(), envelope.sent_at, self.max_age_ms);
        let (classes, rejected) = sort(&envelope.events, &clock, senders);
        let accepted = classes.iter().map(|class| class.events.len()).sum();
        let mut jobs = Vec::new();
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
                events: class.events.into_iter().map(|taken| taken.line).collect(),
            };
            jobs.extend(jobs_of(batch, realtime, &self.sinks));
        }
        if let Some(traceparent) = traceparent {
            for job in &mut jobs {
                job.traceparent = Some(traceparent.clone());
            }
        }
        if !jobs.is_empty() {
            if !self.room.is_there() {
                let wait = "events wait until the queue has room again";
                return Err(Problem::new(ProblemCode::QueueUnavailable)
                    .with_detail(wait)
                    .into());
            }
            enqueue_all(queue, jobs).await?;
        }
        self.metrics.count(EventOutcome::Accepted, accepted);
        self.metrics.count(EventOutcome::Rejected, rejected.len());
        Ok(ReportAnswer {
            success: true,
            accepted,
            rejected,
        })
    }
}

/// The events of each class, batch and realtime; and those that are of none.
fn sort(events: &[Box<RawValue>], clock: &Clock, senders: Senders) -> ([Class; 2], Vec<Rejected>) {
    let (mut classes, mut rejected) = ([Class::default(), Class::default()], Vec::new());
    if let Senders::One(player) = &senders {
        for class in &mut classes {
            class.players.push(player.clone());
        }
    }
    for (index, event) in events.iter().enumerate() {
        let taken = incoming::check(event, clock).and_then(|mut taken| {
            let class = &mut classes[usize::from(taken.realtime)];
            if matches!(senders, Senders::Any) {
                taken.line.player = place_of(class, &mut taken)?;
            }
            class.events.push(taken);
            Ok(())
        });
        if let Err(code) = taken {
            rejected.push(Rejected { index, code });
        }
    }
    (classes, rejected)
}

/// The place of the event's player among those of its class.
fn place_of(class: &mut Class, taken: &mut Taken) -> Result<usize, EventRefusal> {
    let user_id = taken.user_id.take().ok_or(EventRefusal::UserIdInvalid)?;
    if user_id.parse::<avalon_core::base::ids::UserId>().is_err() {
        return Err(EventRefusal::UserIdInvalid);
    }
    let player = Player {
        user_id,
        open_id: taken.open_id.take(),
    };
    let there = class.players.iter().position(|other| *other == player);
    Ok(there.unwrap_or_else(|| {
        class.players.push(player);
        class.players.len() - 1
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw(event: &Value) -> Box<RawValue> {
        serde_json::value::to_raw_value(event).unwrap()
    }

    fn clock() -> Clock {
        Clock::new(Timestamp::now(), None, 1000 * 3600)
    }

    fn event(change: &Value) -> Box<RawValue> {
        let now = Timestamp::now().as_millisecond();
        let mut event = json!({"eventName": "a", "timestamp": now});
        for (name, value) in change.as_object().unwrap() {
            event[name] = value.clone();
        }
        raw(&event)
    }

    fn player(user_id: &str) -> Player {
        Player {
            user_id: user_id.to_owned(),
            open_id: None,
        }
    }

    #[test]
    fn the_good_are_taken_and_the_bad_are_told_by_their_places() {
        let events = [
            event(&json!({})),
            event(&json!({"eventName": 1})),
            event(&json!({"realtime": true})),
            raw(&json!("x")),
        ];
        let ([batch, realtime], rejected) = sort(&events, &clock(), Senders::One(player("me")));
        assert_eq!((batch.events.len(), realtime.events.len()), (1, 1));
        let codes: Vec<_> = rejected.iter().map(|one| (one.index, one.code)).collect();
        let (name, object) = (EventRefusal::EventNameInvalid, EventRefusal::EventNotObject);
        assert_eq!(codes, [(1, name), (3, object)]);
    }

    #[test]
    fn a_players_events_are_theirs_whatever_they_say() {
        let other = event(&json!({"userId": "01JZ5N4V7W8X9YABCDEFGHJKMN", "openId": "o"}));
        let ([batch, _], _) = sort(&[other], &clock(), Senders::One(player("me")));
        assert_eq!(batch.players, [player("me")]);
        assert_eq!(batch.events[0].line.player, 0);
    }

    #[test]
    fn the_game_server_says_whose_each_event_is() {
        let (one, two) = ("01JZ5N4V7W8X9YABCDEFGHJKMN", "01JZ5N4V7W8X9YABCDEFGHJKMP");
        let events = [
            event(&json!({"userId": one})),
            event(&json!({"userId": two})),
            event(&json!({"userId": one})),
            event(&json!({})),
            event(&json!({"userId": "nobody"})),
        ];
        let ([batch, _], rejected) = sort(&events, &clock(), Senders::Any);
        assert_eq!(batch.players, [player(one), player(two)]);
        let places: Vec<_> = batch.events.iter().map(|taken| taken.line.player).collect();
        assert_eq!(places, [0, 1, 0]);
        let indexes: Vec<_> = rejected.iter().map(|one| one.index).collect();
        assert_eq!(indexes, [3, 4]);
    }
}
