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

fn accept(event: &Value) -> Result<AcceptedEvent, EventRefusal> {
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
fn valid_events_are_accepted() {
    let accepted = accept(&json!({
        "eventId": "e-1", "eventName": "关卡_结束", "eventParams": {"level": 3, "list": [1]},
        "timestamp": "2025-10-09T08:53:20Z", "sessionId": "s", "realtime": true, "more": 1,
    }))
    .unwrap();
    assert!(accepted.realtime);
    assert_eq!(accepted.line.at, NOW);
    assert_eq!(accepted.line.params.get(), r#"{"level":3,"list":[1]}"#);
    assert_eq!(accept(&with(&json!({}))).unwrap().line.params.get(), "{}");
    let fraction = with(&json!({"timestamp": 1_760_000_000_000.25}));
    assert_eq!(accept(&fraction).unwrap().line.at, NOW);
}

#[test]
fn invalid_events_are_rejected_with_a_reason() {
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
        assert_eq!(accept(&with(&change)).unwrap_err(), refusal, "{change}");
    }
    assert!(accept(&with(&json!({"eventParams": deep(7)}))).is_ok());
    for odd in [json!(1), json!([]), json!(null), json!("x")] {
        assert_eq!(accept(&odd).unwrap_err(), EventNotObject, "{odd}");
    }
}

#[test]
fn params_nested_200_levels_deep_are_named_as_the_fault() {
    let params = |value: &str| {
        let event =
            format!(r#"{{"eventName":"a","timestamp":{NOW},"eventParams":{{"a":{value}}}}}"#);
        let raw = RawValue::from_string(event).unwrap();
        check(&raw, &clock(None)).map(|_| ()).unwrap_err()
    };
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for value in [deep.as_str(), "1e999"] {
        assert_eq!(params(value), EventRefusal::EventParamsInvalid);
    }
}

#[test]
fn wrong_clocks_are_corrected_by_whole_minutes() {
    let at = |sent_at: i64, time: i64| clock(Some(sent_at)).correct(time);
    assert_eq!(at(NOW - 3000, NOW - 5000), Ok(NOW - 5000));
    assert_eq!(at(NOW + 119_000, NOW + 118_000), Ok(NOW + 118_000));
    // A year behind: the event happened ten seconds before it was sent.
    let year = 365 * DAY_MS;
    let corrected = at(NOW - year, NOW - year - 10_000).unwrap();
    assert!((NOW - 70_000..=NOW - 10_000).contains(&corrected));
    // Sent again a second later, it is the same event at the same time.
    let again = Clock::new(time(NOW + 1000), Some(time(NOW - year)), 7 * DAY_MS);
    assert_eq!(again.correct(NOW - year - 10_000), Ok(corrected));
    // A year ahead.
    let corrected = at(NOW + year, NOW + year - 10_000).unwrap();
    assert!((NOW - 70_000..=NOW - 10_000).contains(&corrected));
}

#[test]
fn documentation_lists_every_reason() {
    let documentation = include_str!("../../../../../docs/errors.md");
    for refusal in EventRefusal::VARIANTS {
        let reason = serde_json::to_value(refusal).unwrap();
        let item = format!("- `{}`:", reason.as_str().unwrap());
        assert!(documentation.contains(&item), "{item}");
    }
}
