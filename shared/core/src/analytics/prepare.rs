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
            let rest = std::mem::take(fields)
                .into_iter()
                .filter(|(name, _)| !known.sensitive.contains(name));
            *fields = rest.collect::<Map<_, _>>();
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
mod tests;
