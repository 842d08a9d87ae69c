//! Sorting of events into classes and rejections.

use serde_json::{Value, json};

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
