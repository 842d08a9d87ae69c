//! The batch of events that travels in a job. Redis holds many of them when a store is away, so
//! its names are single letters, and what is the same for all events is said once.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use strum::IntoStaticStr;
use ulid::Ulid;

/// The service's event of a sign-in.
pub const SIGNED_IN: &str = "signed_in";

/// Events that were accepted together, checked one by one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventBatch {
    /// What all of them share.
    #[serde(rename = "h")]
    pub head: BatchHead,
    /// The events.
    #[serde(rename = "e")]
    pub events: Vec<EventLine>,
}

/// What the events of a batch share.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatchHead {
    /// Names the batch for good: events without an id of their own get theirs from it.
    #[serde(rename = "b")]
    pub id: Ulid,
    /// When it came, Unix ms.
    #[serde(rename = "r")]
    pub received_at: i64,
    /// Who sent it.
    #[serde(rename = "s")]
    pub source: Source,
    /// Whose events they are; each event names one by its place.
    #[serde(rename = "w")]
    pub players: Vec<Player>,
    /// On what they happened.
    #[serde(rename = "c", default, skip_serializing_if = "Client::is_unknown")]
    pub client: Client,
}

/// A player, as events name them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Player {
    /// Our id.
    #[serde(rename = "u")]
    pub user_id: String,
    /// WeChat's, when it is at hand.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub open_id: Option<String>,
}

/// Sender of events. The strum names are stored in the table, the serde names in jobs.
#[derive(Clone, Copy, Debug, IntoStaticStr, PartialEq, Eq, Serialize, Deserialize)]
#[strum(serialize_all = "snake_case")]
pub enum Source {
    /// A player's device.
    #[serde(rename = "c")]
    Client,
    /// This service.
    #[serde(rename = "s")]
    Service,
    /// The game server.
    #[serde(rename = "g")]
    Game,
}

/// On what events happened, as the client says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Version of the game.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
    /// Such as `ios`, `android`, `devtools`.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// WeChat's scene value of how the game was opened.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<i64>,
}

impl Client {
    fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// One event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventLine {
    /// Its name.
    #[serde(rename = "n")]
    pub name: String,
    /// Its parameters, an object.
    #[serde(rename = "p")]
    pub params: Box<RawValue>,
    /// When it happened, by our clock, Unix ms.
    #[serde(rename = "t")]
    pub at: i64,
    /// The client's own name of it.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The client's own name of the time that the game was open.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Which of the batch's players.
    #[serde(rename = "w", default, skip_serializing_if = "is_first")]
    pub player: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_first(place: &usize) -> bool {
    *place == 0
}

impl BatchHead {
    /// Whether an event shows that its player was there. The service's own are of what happened to a player,
    /// such as a refund; only the sign-in is the player's doing.
    pub fn shows_presence(&self, event_name: &str) -> bool {
        self.source != Source::Service || event_name == SIGNED_IN
    }

    /// The id of the event at a place of the batch that has none of its own: the same each time.
    pub fn made_id(&self, place: usize) -> String {
        format!("{}-{place}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_survives_its_journey_and_is_small() {
        let params = || RawValue::from_string(r#"{"level":3}"#.to_owned()).unwrap();
        let line = |id: Option<&str>, player| EventLine {
            name: "level_end".to_owned(),
            params: params(),
            at: 1_760_000_000_000,
            id: id.map(str::to_owned),
            session_id: None,
            player,
        };
        let player = |user: &str| Player {
            user_id: user.to_owned(),
            open_id: None,
        };
        let batch = EventBatch {
            head: BatchHead {
                id: Ulid::from_parts(1, 1),
                received_at: 1_760_000_000_500,
                source: Source::Client,
                players: vec![player("a"), player("b")],
                client: Client::default(),
            },
            events: vec![line(None, 0), line(Some("x"), 1)],
        };
        let text = serde_json::to_string(&batch).unwrap();
        assert!(text.len() < 230, "{} bytes: {text}", text.len());
        let back: EventBatch = serde_json::from_str(&text).unwrap();
        assert_eq!(back.head.made_id(0), batch.head.made_id(0));
        assert_eq!(back.events[0].params.get(), params().get());
        assert_eq!((back.events[0].player, back.events[1].player), (0, 1));
        assert_eq!(back.events[1].id.as_deref(), Some("x"));
    }

    #[test]
    fn only_what_a_player_does_shows_that_the_player_is_there() {
        let of = |source| BatchHead {
            id: Ulid::from_parts(1, 1),
            received_at: 0,
            source,
            players: vec![],
            client: Client::default(),
        };
        assert!(of(Source::Client).shows_presence("order_paid"));
        assert!(of(Source::Game).shows_presence("reward"));
        assert!(of(Source::Service).shows_presence("signed_in"));
        assert!(!of(Source::Service).shows_presence("order_refunded"));
    }
}
