//! Ingress: a received event becomes an [`EventLine`] or an [`EventRefusal`]. Each event is checked by
//! itself. An accepted event can be stored by every database and sink.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use strum::VariantArray;
use utoipa::ToSchema;

use super::batch::EventLine;

/// Maximum number of events in a request.
pub const MAX_EVENTS: usize = 500;
/// In characters.
const MAX_NAME: usize = 64;
/// In bytes.
const MAX_ID: usize = 64;
/// Size of the parameters of one event, as compact JSON.
const MAX_PARAMS_BYTES: usize = 8 * 1024;
/// Nested objects and lists.
const MAX_DEPTH: usize = 8;
/// Clocks that differ less than this from ours are not corrected: an event that is sent again keeps
/// its time, and with it its day.
const TOLERANCE_MS: i64 = 2 * 60 * 1000;
const MINUTE_MS: i64 = 60 * 1000;
/// How far in the future an event may be.
const MAX_AHEAD_MS: i64 = 10 * MINUTE_MS;

/// Why an event was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema, VariantArray)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventRefusal {
    /// It is not an object.
    EventNotObject,
    /// `eventName` is not 1 to 64 letters, digits or `_.:/$#-`.
    EventNameInvalid,
    /// `eventParams` is not an object that can be stored: it is too deep, or has a NUL in a text.
    EventParamsInvalid,
    /// `eventParams` is larger than 8 KiB.
    EventParamsTooLarge,
    /// `timestamp` is neither Unix ms nor ISO 8601 with an offset.
    TimestampInvalid,
    /// `timestamp` is too far in the past or the future.
    TimestampOutOfRange,
    /// `eventId` is not 1 to 64 visible ASCII characters.
    EventIdInvalid,
    /// `sessionId` is not 1 to 64 visible ASCII characters.
    SessionIdInvalid,
    /// `realtime` is not a boolean.
    RealtimeInvalid,
    /// `userId` does not name a player.
    UserIdInvalid,
    /// `openId` is not 1 to 64 visible ASCII characters, or names no player and there is no `userId`.
    OpenIdInvalid,
}

/// Converts the timestamps of a request to our clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// When the request was received, Unix ms.
    pub received_at: i64,
    /// Added to the sender's timestamps, ms.
    offset: i64,
    max_age_ms: i64,
}

impl Clock {
    /// Compares our clock with the sender's, if `sent_at` is given.
    pub fn new(received_at: Timestamp, sent_at: Option<Timestamp>, max_age_ms: i64) -> Self {
        let received_at = received_at.as_millisecond();
        let offset = sent_at.map_or(0, |sent| received_at - sent.as_millisecond());
        Self {
            received_at,
            offset: if offset.abs() <= TOLERANCE_MS {
                0
            } else {
                // Whole minutes, since the transfer time varies.
                offset.div_euclid(MINUTE_MS) * MINUTE_MS
            },
            max_age_ms,
        }
    }

    fn correct(&self, time: i64) -> Result<i64, EventRefusal> {
        let at = time.saturating_add(self.offset);
        let age = self.received_at.saturating_sub(at);
        if (-MAX_AHEAD_MS..=self.max_age_ms).contains(&age) {
            Ok(at)
        } else {
            Err(EventRefusal::TimestampOutOfRange)
        }
    }
}

/// An accepted event.
#[derive(Clone, Debug)]
pub struct AcceptedEvent {
    /// The event.
    pub line: EventLine,
    /// To be enqueued at once.
    pub realtime: bool,
    /// The player, if the event names one.
    pub user_id: Option<String>,
    /// WeChat's id of the player, if the event names one.
    pub open_id: Option<String>,
}

/// The fields of an event, not parsed yet.
type Fields<'a> = HashMap<String, &'a RawValue>;

/// Returns the `openId` of an event that has one but no `userId`: its player has to be looked up.
pub fn open_id_without_user(raw: &RawValue) -> Option<String> {
    let mut event: Fields<'_> = serde_json::from_str(raw.get()).ok()?;
    let user_id = word(&mut event, "userId", EventRefusal::UserIdInvalid).ok()?;
    let open_id = word(&mut event, "openId", EventRefusal::OpenIdInvalid).ok()?;
    open_id.filter(|_| user_id.is_none())
}

/// Checks one event.
///
/// # Errors
/// Why it is rejected.
pub fn check(raw: &RawValue, clock: &Clock) -> Result<AcceptedEvent, EventRefusal> {
    // The fields are parsed one by one: what cannot be parsed, such as a number that is too large or
    // values nested too deep, is the fault of its field.
    let mut event: Fields<'_> =
        serde_json::from_str(raw.get()).map_err(|_| EventRefusal::EventNotObject)?;
    let name = match take(&mut event, "eventName", EventRefusal::EventNameInvalid)? {
        Value::String(name) if is_event_name(&name) => name,
        _ => return Err(EventRefusal::EventNameInvalid),
    };
    let time = take(&mut event, "timestamp", EventRefusal::TimestampInvalid)?;
    let time = read_time(&time).ok_or(EventRefusal::TimestampInvalid)?;
    let at = clock.correct(time.as_millisecond())?;
    let id = word(&mut event, "eventId", EventRefusal::EventIdInvalid)?;
    let session_id = word(&mut event, "sessionId", EventRefusal::SessionIdInvalid)?;
    let user_id = word(&mut event, "userId", EventRefusal::UserIdInvalid)?;
    let open_id = word(&mut event, "openId", EventRefusal::OpenIdInvalid)?;
    let realtime = match take(&mut event, "realtime", EventRefusal::RealtimeInvalid)? {
        Value::Null => false,
        Value::Bool(realtime) => realtime,
        _ => return Err(EventRefusal::RealtimeInvalid),
    };
    let params = match take(&mut event, "eventParams", EventRefusal::EventParamsInvalid)? {
        Value::Null => Value::Object(Map::new()),
        params @ Value::Object(_) if is_storable(&params, MAX_DEPTH) => params,
        _ => return Err(EventRefusal::EventParamsInvalid),
    };
    let params =
        serde_json::value::to_raw_value(&params).map_err(|_| EventRefusal::EventParamsInvalid)?;
    if params.get().len() > MAX_PARAMS_BYTES {
        return Err(EventRefusal::EventParamsTooLarge);
    }
    let line = EventLine {
        name,
        params,
        at,
        id,
        session_id,
        player: 0,
    };
    Ok(AcceptedEvent {
        line,
        realtime,
        user_id,
        open_id,
    })
}

/// Whether this is a valid event name.
pub fn is_event_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.chars().count())
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "_.:/$#-".contains(c))
}

/// Reads a time in Unix ms, or as ISO 8601 with an offset.
pub fn read_time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(number) => {
            let ms = number.as_i64().or_else(|| {
                // JavaScript clocks may have fractions of a millisecond.
                let ms = number.as_f64()?;
                #[allow(clippy::cast_possible_truncation, reason = "within bounds")]
                (ms.abs() < 1e15).then_some(ms as i64)
            });
            Timestamp::from_millisecond(ms?).ok()
        }
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Parses a field; an absent one is null.
fn take(event: &mut Fields<'_>, name: &str, refusal: EventRefusal) -> Result<Value, EventRefusal> {
    match event.remove(name) {
        None => Ok(Value::Null),
        Some(raw) => serde_json::from_str(raw.get()).map_err(|_| refusal),
    }
}

fn word(
    event: &mut Fields<'_>,
    name: &str,
    refusal: EventRefusal,
) -> Result<Option<String>, EventRefusal> {
    match take(event, name, refusal)? {
        Value::Null => Ok(None),
        Value::String(text) if is_word(&text) => Ok(Some(text)),
        _ => Err(refusal),
    }
}

fn is_word(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Postgres cannot store NUL in a text, and depth is bounded.
fn is_storable(value: &Value, depth: usize) -> bool {
    let plain = |text: &str| !text.contains('\0');
    match value {
        Value::Object(_) | Value::Array(_) if depth == 0 => false,
        Value::Object(fields) => fields
            .iter()
            .all(|(name, value)| plain(name) && is_storable(value, depth - 1)),
        Value::Array(items) => items.iter().all(|item| is_storable(item, depth - 1)),
        Value::String(text) => plain(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

#[cfg(test)]
mod tests;
