//! Shared by the public and the internal route of events: parses the envelope, validates its events one
//! by one, and enqueues the accepted ones.

use std::collections::{BTreeSet, HashMap};

use avalon_core::accounts::users;
use avalon_core::analytics::config::SinkName;
use avalon_core::analytics::incoming::{self, AcceptedEvent, Clock, EventRefusal, MAX_EVENTS};
use avalon_core::analytics::metrics::EventOutcome;
use avalon_core::analytics::{BatchHead, Client, EventBatch, EventMetrics, Player, Source};
use avalon_core::base::ids::UserId;
use avalon_core::base::problem::{Problem, ProblemCode};
use avalon_core::jobs::events::jobs_of;
use avalon_core::storage::database::Database;
use avalon_queue::Queue;
use avalon_wechat::OpenId;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use ulid::Ulid;
use utoipa::ToSchema;

use crate::http::compression::ContentEncoding;
use crate::http::extract::{self, invalid_field, plain};
use crate::http::job_response::enqueue_all;
use crate::http::problem::ApiError;
use crate::routes::analytics::queue_room::QueueRoom;

/// Maximum size of a body, both compressed and decompressed, in bytes.
const MAX_BYTES: usize = 1024 * 1024;
/// A body larger than this is decompressed and parsed on a blocking thread, in bytes.
const LARGE: usize = 32 * 1024;

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

/// The envelope, with its events not parsed yet.
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
        if !(1..=MAX_EVENTS).contains(&self.events.len()) {
            let rule = format!("must have 1 to {MAX_EVENTS} events");
            return Err(invalid_field("events", rule));
        }
        if self
            .scene
            .is_some_and(|scene| !(0..=i64::from(i32::MAX)).contains(&scene))
        {
            return Err(invalid_field(
                "scene",
                "must be one of WeChat's scene values",
            ));
        }
        Ok(())
    }

    /// Returns the players whom events name only by their `openId`. Unknown ones are left out.
    pub(crate) async fn players_by_open_id(
        &self,
        database: &Database,
    ) -> Result<HashMap<String, UserId>, ApiError> {
        let named = self.events.iter();
        let open_ids: BTreeSet<String> = named
            .filter_map(|event| incoming::open_id_without_user(event))
            .collect();
        let mut players = HashMap::new();
        for open_id in open_ids {
            if let Some(user) = users::by_open_id(database, &OpenId::new(&*open_id)).await? {
                players.insert(open_id, user.id);
            }
        }
        Ok(players)
    }

    fn client(&mut self) -> Result<Client, Problem> {
        Ok(Client {
            app_version: plain("appVersion", self.app_version.take(), 32)?,
            platform: plain("platform", self.platform.take(), 32)?,
            scene: self.scene,
        })
    }
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

/// Reads and parses the body of a request with events.
pub(crate) async fn read(body: Body, headers: &HeaderMap) -> Result<Envelope, ApiError> {
    if !extract::is_json(headers) {
        return Err(ProblemCode::UnsupportedMediaType.into());
    }
    let encoding = ContentEncoding::of(headers)?;
    let body = extract::read(body, headers, MAX_BYTES).await?;
    if body.is_empty() {
        return Err(ProblemCode::BodyMissing.into());
    }
    if body.len() <= LARGE {
        return Ok(open(encoding, body)?);
    }
    let opened = tokio::task::spawn_blocking(move || open(encoding, body)).await;
    // The panic hook has already logged a panic.
    Ok(opened.map_err(|_| ApiError::from(ProblemCode::Internal))??)
}

fn open(encoding: ContentEncoding, body: Bytes) -> Result<Envelope, Problem> {
    let body = encoding.decode(body, MAX_BYTES)?;
    let envelope: Envelope = extract::parse(&body)?;
    envelope.check()?;
    Ok(envelope)
}

impl Events {
    /// Validates the events one by one and enqueues the accepted ones.
    ///
    /// # Errors
    /// When they could not be enqueued; then none is accepted.
    pub(crate) async fn ingest(
        &self,
        mut envelope: Envelope,
        senders: Senders,
        source: Source,
        queue: &Queue,
        traceparent: Option<String>,
    ) -> Result<ReportResponse, ApiError> {
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
                events: class
                    .events
                    .into_iter()
                    .map(|accepted| accepted.line)
                    .collect(),
            };
            jobs.extend(jobs_of(batch, realtime, &self.sinks));
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
            enqueue_all(queue, jobs).await?;
        }
        self.metrics.count(EventOutcome::Accepted, accepted);
        self.metrics.count(EventOutcome::Rejected, rejected.len());
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
    fn rejected_events_are_listed_by_index() {
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
    fn ids_in_events_of_a_player_are_ignored() {
        let other = event(&json!({"userId": "01JZ5N4V7W8X9YABCDEFGHJKMN", "openId": "o"}));
        let ([batch, _], _) = sort(&[other], &clock(), Senders::One(player("me")));
        assert_eq!(batch.players, [player("me")]);
        assert_eq!(batch.events[0].line.player, 0);
    }

    #[test]
    fn events_of_the_game_server_name_their_player() {
        let (one, two) = ("01JZ5N4V7W8X9YABCDEFGHJKMN", "01JZ5N4V7W8X9YABCDEFGHJKMP");
        let events = [
            event(&json!({"userId": one})),
            event(&json!({"userId": two})),
            event(&json!({"userId": one})),
            event(&json!({})),
            event(&json!({"userId": "invalid"})),
        ];
        let ([batch, _], rejected) = sort(&events, &clock(), Senders::Any(HashMap::new()));
        assert_eq!(batch.players, [player(one), player(two)]);
        let places: Vec<_> = batch
            .events
            .iter()
            .map(|accepted| accepted.line.player)
            .collect();
        assert_eq!(places, [0, 1, 0]);
        let indexes: Vec<_> = rejected.iter().map(|one| one.index).collect();
        assert_eq!(indexes, [3, 4]);
    }

    #[test]
    fn events_of_the_game_server_may_name_only_the_openid() {
        let one = "01JZ5N4V7W8X9YABCDEFGHJKMN";
        let events = [
            event(&json!({"openId": "o-known"})),
            event(&json!({"openId": "o-unknown"})),
            event(&json!({"userId": one, "openId": "o-unknown"})),
        ];
        let users = HashMap::from([("o-known".to_owned(), one.parse().unwrap())]);
        let ([batch, _], rejected) = sort(&events, &clock(), Senders::Any(users));
        let players: Vec<_> = batch
            .players
            .iter()
            .map(|player| &*player.user_id)
            .collect();
        assert_eq!(players, [one, one]);
        let unknown = Rejected {
            index: 1,
            code: EventRefusal::OpenIdInvalid,
        };
        assert_eq!(rejected, [unknown]);
    }
}
