use serde_json::json;
use ulid::Ulid;

use super::*;
use crate::analytics::batch::{Client, Player, Source};
use crate::analytics::catalogue::EventDefinition;

const NOW: i64 = 1_760_000_000_000;

fn batch(names: &[&str], params: &Value) -> EventBatch {
    let line = |name: &&str| EventLine {
        name: (*name).to_owned(),
        params: serde_json::value::to_raw_value(params).unwrap(),
        at: NOW,
        id: None,
        session_id: None,
        player: 0,
    };
    EventBatch {
        head: BatchHead {
            id: Ulid::from_parts(5, 5),
            received_at: NOW,
            source: Source::Client,
            players: vec![Player {
                user_id: "player".to_owned(),
                open_id: None,
            }],
            client: Client::default(),
        },
        events: names.iter().map(line).collect(),
    }
}

fn definition(name: &str) -> EventDefinition {
    EventDefinition {
        event_name: name.to_owned(),
        schema: None,
        sensitive: Vec::new(),
        sampling_rate: 1.0,
    }
}

fn policy(unknown: UnknownEvents) -> Policy {
    Policy {
        unknown,
        oldest: Day::of_ms(NOW),
    }
}

#[test]
fn unknown_events_follow_the_policy() {
    let catalogue = Catalogue::of(vec![definition("known")]);
    let run = |unknown| {
        prepare(
            batch(&["known", "other"], &json!({})),
            &catalogue,
            policy(unknown),
        )
    };
    let known =
        |prepared: &Prepared| -> Vec<bool> { prepared.rows.iter().map(|row| row.known).collect() };
    assert_eq!(known(&run(UnknownEvents::Accept)), [true, true]);
    assert_eq!(known(&run(UnknownEvents::Tag)), [true, false]);
    let dropped = run(UnknownEvents::Drop);
    assert_eq!((known(&dropped), dropped.dropped.unknown), (vec![true], 1));
}

#[test]
fn derived_ids_are_stable_and_follow_the_index() {
    let catalogue = Catalogue::of(vec![definition("b")]);
    let ids = |unknown| -> Vec<String> {
        let rows = prepare(batch(&["a", "b"], &json!({})), &catalogue, policy(unknown)).rows;
        rows.into_iter().map(|row| row.id).collect()
    };
    let all = ids(UnknownEvents::Accept);
    assert_eq!(all, ids(UnknownEvents::Accept));
    assert_eq!(all[1..], ids(UnknownEvents::Drop));
}

#[test]
fn sensitive_parameters_are_removed_at_every_depth() {
    let mut known = definition("a");
    known.sensitive = vec!["phone".to_owned(), "idCard".to_owned()];
    let params = json!({"phone": "1", "x": {"idCard": 2, "y": [{"phone": {"z": 1}, "w": 3}]}});
    let catalogue = Catalogue::of(vec![known]);
    let rows = prepare(
        batch(&["a"], &params),
        &catalogue,
        policy(UnknownEvents::Drop),
    )
    .rows;
    assert_eq!(rows[0].line.params.get(), r#"{"x":{"y":[{"w":3}]}}"#);
}

#[test]
fn parameters_must_match_the_schema() {
    let mut known = definition("a");
    known.schema = Some(json!({
        "type": "object", "required": ["level"],
        "properties": {"level": {"type": "integer", "minimum": 1}},
    }));
    let catalogue = Catalogue::of(vec![known]);
    let run = |params: Value| {
        let prepared = prepare(
            batch(&["a"], &params),
            &catalogue,
            policy(UnknownEvents::Drop),
        );
        (prepared.rows.len(), prepared.dropped.invalid)
    };
    assert_eq!(run(json!({"level": 3, "more": 1})), (1, 0));
    assert_eq!(run(json!({"level": 0})), (0, 1));
    assert_eq!(run(json!({})), (0, 1));
}

#[test]
fn events_before_the_oldest_day_are_dropped() {
    let mut old = batch(&["a"], &json!({}));
    old.events[0].at = NOW - 24 * 3600 * 1000;
    let prepared = prepare(old, &Catalogue::default(), policy(UnknownEvents::Accept));
    assert_eq!((prepared.rows.len(), prepared.dropped.too_old), (0, 1));
}

#[test]
fn sample_has_its_size_and_a_larger_one_contains_it() {
    let players: Vec<String> = (0..20_000u64)
        .map(|n| Ulid::from_parts(n * 977, u128::from(n) << 40).to_string())
        .collect();
    let count = |sample| {
        players
            .iter()
            .filter(|player| is_sampled(player, sample))
            .count()
    };
    assert_eq!((count(0), count(WHOLE)), (0, players.len()));
    assert!((1700..2300).contains(&count(1000)), "{}", count(1000));
    assert!(
        players
            .iter()
            .all(|player| !is_sampled(player, 1000) || is_sampled(player, 2000))
    );
}
