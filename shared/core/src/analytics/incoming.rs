//! The edge: what somebody sent as an event becomes an [`EventLine`], or the word for why it can't.
//! Each event is checked by itself. What passes here can be stored by every database and sink.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use strum::VariantArray;
use utoipa::ToSchema;

use super::batch::EventLine;

/// Most events of a request.
pub const MOST_EVENTS: usize = 500;
const MOST_NAME: usize = 64;
const MOST_ID: usize = 64;
/// Of the parameters of one event, as compact JSON.
const MOST_PARAMS_BYTES: usize = 8 * 1024;
/// Objects and lists inside each other.
const MOST_DEPTH: usize = 8;
/// Clocks that differ less than this from ours are taken for right, and their times kept as they
/// are: an event that is sent again keeps its time, and with it its day.
const RIGHT_CLOCK_MS: i64 = 2 * 60 * 1000;
const MINUTE_MS: i64 = 60 * 1000;
/// How far ahead of us an event may be.
const MOST_AHEAD_MS: i64 = 10 * MINUTE_MS;

/// Why an event was not taken: a word for programs.
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
    /// It happened too long ago, or has not happened yet.
    TimestampOutOfRange,
    /// `eventId` is not 1 to 64 visible ASCII characters.
    EventIdInvalid,
    /// `sessionId` is not 1 to 64 visible ASCII characters.
    SessionIdInvalid,
    /// `realtime` is not a boolean.
    RealtimeInvalid,
    /// `userId` names nobody.
    UserIdInvalid,
    /// `openId` is not 1 to 64 visible ASCII characters.
    OpenIdInvalid,
}

/// How the times of a request are read.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// When it came, Unix ms.
    pub received_at: i64,
    /// What is added to the sender's times, ms.
    offset: i64,
    max_age_ms: i64,
}

impl Clock {
    /// Compares the sender's clock, if it told what it shows, with ours.
    pub fn new(received_at: Timestamp, sent_at: Option<Timestamp>, max_age_ms: i64) -> Self {
        let received_at = received_at.as_millisecond();
        let offset = sent_at.map_or(0, |sent| received_at - sent.as_millisecond());
        Self {
            received_at,
            offset: if offset.abs() <= RIGHT_CLOCK_MS {
                0
            } else {
                // Whole minutes, since the way here takes a little longer each time.
                offset.div_euclid(MINUTE_MS) * MINUTE_MS
            },
            max_age_ms,
        }
    }

    fn correct(&self, time: i64) -> Result<i64, EventRefusal> {
        let at = time.saturating_add(self.offset);
        let age = self.received_at.saturating_sub(at);
        if (-MOST_AHEAD_MS..=self.max_age_ms).contains(&age) {
            Ok(at)
        } else {
            Err(EventRefusal::TimestampOutOfRange)
        }
    }
}

/// An event that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The event.
    pub line: EventLine,
    /// To be passed on at once.
    pub realtime: bool,
    /// Whose it is, when it says so.
    pub user_id: Option<String>,
    /// WeChat's name of the player, when it says so.
    pub open_id: Option<String>,
}

/// Checks one event.
///
/// # Errors
/// Why it is not taken.
pub fn check(raw: &RawValue, clock: &Clock) -> Result<Taken, EventRefusal> {
    let Ok(Value::Object(mut event)) = serde_json::from_str::<Value>(raw.get()) else {
        return Err(EventRefusal::EventNotObject);
    };
    let name = match event.remove("eventName") {
        Some(Value::String(name)) if is_event_name(&name) => name,
        _ => return Err(EventRefusal::EventNameInvalid),
    };
    let time = match event.remove("timestamp") {
        Some(time) => read_time(&time).ok_or(EventRefusal::TimestampInvalid)?,
        None => return Err(EventRefusal::TimestampInvalid),
    };
    let at = clock.correct(time.as_millisecond())?;
    let id = word(&mut event, "eventId", EventRefusal::EventIdInvalid)?;
    let session_id = word(&mut event, "sessionId", EventRefusal::SessionIdInvalid)?;
    let user_id = word(&mut event, "userId", EventRefusal::UserIdInvalid)?;
    let open_id = word(&mut event, "openId", EventRefusal::OpenIdInvalid)?;
    let realtime = match event.remove("realtime") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(realtime)) => realtime,
        Some(_) => return Err(EventRefusal::RealtimeInvalid),
    };
    let params = match event.remove("eventParams") {
        None | Some(Value::Null) => Value::Object(Map::new()),
        Some(params @ Value::Object(_)) if is_storable(&params, MOST_DEPTH) => params,
        Some(_) => return Err(EventRefusal::EventParamsInvalid),
    };
    let params =
        serde_json::value::to_raw_value(&params).map_err(|_| EventRefusal::EventParamsInvalid)?;
    if params.get().len() > MOST_PARAMS_BYTES {
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
    Ok(Taken {
        line,
        realtime,
        user_id,
        open_id,
    })
}

/// Whether events can have this name.
pub fn is_event_name(name: &str) -> bool {
    (1..=MOST_NAME).contains(&name.chars().count())
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "_.:/$#-".contains(c))
}

/// A time in Unix ms, or as ISO 8601 with an offset.
pub fn read_time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(number) => {
            let ms = number.as_i64().or_else(|| {
                // JavaScript's clocks may count fractions of a millisecond.
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

fn word(
    event: &mut Map<String, Value>,
    name: &str,
    refusal: EventRefusal,
) -> Result<Option<String>, EventRefusal> {
    match event.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if is_word(&text) => Ok(Some(text)),
        Some(_) => Err(refusal),
    }
}

fn is_word(text: &str) -> bool {
    (1..=MOST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Postgres stores no NUL in a text, and nobody wants to read what is nested without end.
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
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_760_000_000_000;
    const DAY_MS: i64 = 24 * 3600 * 1000;

    fn time(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn clock(sent_at: Option<i64>) -> Clock {
        Clock::new(time(NOW), sent_at.map(time), 7 * DAY_MS)
    }

    fn take(event: &Value) -> Result<Taken, EventRefusal> {
        let raw = serde_json::value::to_raw_value(event).unwrap();
        check(&raw, &clock(None))
    }

    fn with(change: &Value) -> Value {
        let mut event = json!({"eventName": "level_end", "timestamp": NOW});
        for (name, value) in change.as_object().unwrap() {
            event[name] = value.clone();
        }
        event
    }

    #[test]
    fn what_is_right_is_taken() {
        let taken = take(&json!({
            "eventId": "e-1", "eventName": "关卡_结束", "eventParams": {"level": 3, "list": [1]},
            "timestamp": "2025-10-09T08:53:20Z", "sessionId": "s", "realtime": true, "more": 1,
        }))
        .unwrap();
        assert!(taken.realtime);
        assert_eq!(taken.line.at, NOW);
        assert_eq!(taken.line.params.get(), r#"{"level":3,"list":[1]}"#);
        assert_eq!(take(&with(&json!({}))).unwrap().line.params.get(), "{}");
        let fraction = with(&json!({"timestamp": 1_760_000_000_000.25}));
        assert_eq!(take(&fraction).unwrap().line.at, NOW);
    }

    #[test]
    fn what_is_wrong_has_a_word() {
        use EventRefusal::*;
        let deep = |levels: usize| (0..levels).fold(json!({}), |inner, _| json!({"a": inner}));
        for (change, refusal) in [
            (json!({"eventName": ""}), EventNameInvalid),
            (json!({"eventName": "a,b"}), EventNameInvalid),
            (json!({"eventName": "x".repeat(65)}), EventNameInvalid),
            (json!({"eventName": 5}), EventNameInvalid),
            (json!({"timestamp": null}), TimestampInvalid),
            (json!({"timestamp": "yesterday"}), TimestampInvalid),
            (json!({"timestamp": 1e300}), TimestampInvalid),
            (json!({"timestamp": NOW - 8 * DAY_MS}), TimestampOutOfRange),
            (
                json!({"timestamp": NOW + 11 * MINUTE_MS}),
                TimestampOutOfRange,
            ),
            (json!({"timestamp": i64::MIN}), TimestampInvalid),
            (json!({"eventId": ""}), EventIdInvalid),
            (json!({"eventId": "礼"}), EventIdInvalid),
            (json!({"eventId": "x".repeat(65)}), EventIdInvalid),
            (json!({"sessionId": "a b"}), SessionIdInvalid),
            (json!({"realtime": "yes"}), RealtimeInvalid),
            (json!({"eventParams": []}), EventParamsInvalid),
            (json!({"eventParams": {"a": "\0"}}), EventParamsInvalid),
            (json!({"eventParams": {"\0": 1}}), EventParamsInvalid),
            (json!({"eventParams": deep(8)}), EventParamsInvalid),
            (
                json!({"eventParams": {"a": "x".repeat(8192)}}),
                EventParamsTooLarge,
            ),
        ] {
            assert_eq!(take(&with(&change)).unwrap_err(), refusal, "{change}");
        }
        assert!(take(&with(&json!({"eventParams": deep(7)}))).is_ok());
        for odd in [json!(1), json!([]), json!(null), json!("x")] {
            assert_eq!(take(&odd).unwrap_err(), EventNotObject, "{odd}");
        }
    }

    #[test]
    fn a_wrong_clock_is_set_right_by_the_minute_and_a_right_one_is_left_alone() {
        let at = |sent_at: i64, time: i64| clock(Some(sent_at)).correct(time);
        assert_eq!(at(NOW - 3000, NOW - 5000), Ok(NOW - 5000));
        assert_eq!(at(NOW + 119_000, NOW + 118_000), Ok(NOW + 118_000));
        // A year slow: the event happened ten seconds before it was sent.
        let year = 365 * DAY_MS;
        let corrected = at(NOW - year, NOW - year - 10_000).unwrap();
        assert!((NOW - 70_000..=NOW - 10_000).contains(&corrected));
        // Sent again a second later, it is the same event at the same time.
        let again = Clock::new(time(NOW + 1000), Some(time(NOW - year)), 7 * DAY_MS);
        assert_eq!(again.correct(NOW - year - 10_000), Ok(corrected));
        // Fast clocks too.
        let corrected = at(NOW + year, NOW + year - 10_000).unwrap();
        assert!((NOW - 70_000..=NOW - 10_000).contains(&corrected));
    }

    #[test]
    fn the_manual_lists_every_word() {
        let manual = include_str!("../../../../docs/errors.md");
        for refusal in EventRefusal::VARIANTS {
            let word = serde_json::to_value(refusal).unwrap();
            let cell = format!("- `{}`:", word.as_str().unwrap());
            assert!(manual.contains(&cell), "{cell}");
        }
    }
}
