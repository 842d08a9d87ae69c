//! Preparation of events between the queue and any store: they are checked against the catalogue,
//! sampled, redacted, and given ids and days. The same batch and catalogue yield the same rows, so each
//! sink prepares a batch for itself, and so does a repeated job.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::batch::{BatchHead, EventBatch, EventLine};
use super::catalogue::{Catalogue, Known, WHOLE};
use super::day::Day;
use super::metrics::{EventMetrics, EventOutcome};

/// Treatment of events that are not in the catalogue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownEvents {
    /// They are stored like all others.
    #[default]
    Accept,
    /// They are stored, marked as unknown.
    Tag,
    /// They are dropped.
    Drop,
}

/// Which events are stored.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Treatment of events that are not in the catalogue.
    pub unknown: UnknownEvents,
    /// The oldest day that is stored.
    pub oldest: Day,
}

/// A batch, ready for a store.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The part that all events share.
    pub head: BatchHead,
    /// The events to be stored.
    pub rows: Vec<EventRow>,
    /// Number of the others.
    pub dropped: Dropped,
}

/// An event, ready for a store.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// The sender's id, or one derived from the batch.
    pub id: String,
    /// Day of the event.
    pub day: Day,
    /// Whether it is in the catalogue; always under [`UnknownEvents::Accept`].
    pub known: bool,
    /// The rest, as in the batch.
    pub line: EventLine,
}

/// Number of events that are not stored, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// [`EventOutcome::Unknown`].
    pub unknown: usize,
    /// [`EventOutcome::Invalid`].
    pub invalid: usize,
    /// [`EventOutcome::SampledOut`].
    pub sampled_out: usize,
    /// [`EventOutcome::TooOld`].
    pub too_old: usize,
}

impl Dropped {
    /// Adds them to the metrics. Only one store may do so, or they are counted once per store.
    pub fn count(&self, metrics: &EventMetrics) {
        metrics.count(EventOutcome::Unknown, self.unknown);
        metrics.count(EventOutcome::Invalid, self.invalid);
        metrics.count(EventOutcome::SampledOut, self.sampled_out);
        metrics.count(EventOutcome::TooOld, self.too_old);
    }
}

/// Prepares a batch for a store.
pub fn prepare(batch: EventBatch, catalogue: &Catalogue, policy: Policy) -> Prepared {
    let EventBatch { head, events } = batch;
    let (mut rows, mut dropped) = (Vec::with_capacity(events.len()), Dropped::default());
    for (index, mut line) in events.into_iter().enumerate() {
        let Some(player) = head.players.get(line.player) else {
            dropped.invalid += 1;
            continue;
        };
        let day = Day::of_ms(line.at);
        if day < policy.oldest {
            dropped.too_old += 1;
            continue;
        }
        let known = catalogue.find(&line.name);
        match known {
            None if policy.unknown == UnknownEvents::Drop => {
                dropped.unknown += 1;
                continue;
            }
            Some(known) if !is_sampled(&player.user_id, known.sample) => {
                dropped.sampled_out += 1;
                continue;
            }
            _ => {}
        }
        match known.map_or(Ok(None), |known| redact(&line.params, known)) {
            Err(Invalid) => {
                dropped.invalid += 1;
                continue;
            }
            Ok(Some(params)) => line.params = params,
            Ok(None) => {}
        }
        rows.push(EventRow {
            id: line.id.take().unwrap_or_else(|| head.derived_id(index)),
            day,
            known: known.is_some() || policy.unknown == UnknownEvents::Accept,
            line,
        });
    }
    Prepared {
        head,
        rows,
        dropped,
    }
}

/// A player in a sample is also in every larger sample, and in the same sample of every event, so that
/// funnels of sampled events stay consistent.
fn is_sampled(user_id: &str, sample: u32) -> bool {
    // FNV-1a is stable; the standard library's hash need not be.
    let hash = user_id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    // The low bits alone are not well mixed.
    (hash ^ (hash >> 32)) % u64::from(WHOLE) < u64::from(sample)
}

struct Invalid;

/// Validates parameters, then removes sensitive ones; `None` if they stay as they are, which is the
/// common case and costs nothing.
fn redact(params: &RawValue, known: &Known) -> Result<Option<Box<RawValue>>, Invalid> {
    if known.schema.is_none() && known.sensitive.is_empty() {
        return Ok(None);
    }
    let mut value: Value = serde_json::from_str(params.get()).map_err(|_| Invalid)?;
    if known
        .schema
        .as_ref()
        .is_some_and(|schema| !schema.is_valid(&value))
    {
        return Err(Invalid);
    }
    if known.sensitive.is_empty() {
        return Ok(None);
    }
    remove_sensitive(&mut value, known);
    let raw = serde_json::value::to_raw_value(&value).map_err(|_| Invalid)?;
    Ok(Some(raw))
}

fn remove_sensitive(value: &mut Value, known: &Known) {
    match value {
        Value::Object(fields) => {
            let kept = std::mem::take(fields)
                .into_iter()
                .filter(|(name, _)| !known.sensitive.contains(name));
            *fields = kept.collect::<Map<_, _>>();
            for (_, value) in fields.iter_mut() {
                remove_sensitive(value, known);
            }
        }
        Value::Array(items) => {
            for item in items {
                remove_sensitive(item, known);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use ulid::Ulid;

    use super::super::batch::{Client, Player, Source};
    use super::super::catalogue::EventDefinition;
    use super::*;

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
        let known = |prepared: &Prepared| -> Vec<bool> {
            prepared.rows.iter().map(|row| row.known).collect()
        };
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
}
