//! Reads objects in which strict JSON readers stumble over one value: a raw control character in a nickname,
//! half of a surrogate pair, an unknown escape, broken UTF-8. The extent of each value is found by its quotes
//! and brackets; one that is not JSON by itself is unreadable, the others are not affected.

use serde_json::{Map, Value};

/// Returns the values of an object and the names of the unreadable ones; `None` if not even its outline is
/// an object.
pub(super) fn object(json: &[u8]) -> Option<(Map<String, Value>, Vec<String>)> {
    let mut rest = json.trim_ascii().strip_prefix(b"{")?.strip_suffix(b"}")?;
    let (mut values, mut unreadable) = (Map::new(), Vec::new());
    while !rest.trim_ascii().is_empty() {
        rest = rest.trim_ascii_start();
        let (name, after) = rest.split_at_checked(string(rest)?)?;
        let name: String = serde_json::from_slice(name).ok()?;
        let after = after.trim_ascii_start().strip_prefix(b":")?;
        let (value, after) = after.split_at_checked(value(after)?)?;
        match serde_json::from_slice(value) {
            Ok(value) => {
                values.insert(name, value);
            }
            Err(_) => unreadable.push(name),
        }
        rest = after.strip_prefix(b",").unwrap_or(after);
    }
    Some((values, unreadable))
}

/// Length of the string at the beginning, quotes included.
fn string(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    let inner = text.strip_prefix(b"\"")?;
    let end = inner.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    Some(end? + 2)
}

/// Length of the value at the beginning: up to the comma that ends it, or all.
fn value(text: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at += string(text.get(at..)?)?;
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
    (depth == 0).then_some(at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: &[u8]) -> Option<(Value, Vec<String>)> {
        object(json).map(|(values, unreadable)| (values.into(), unreadable))
    }

    #[test]
    fn only_odd_values_are_unreadable() {
        for odd in [
            &b"\"a\x01b\""[..],
            b"\"a\nb\"",
            b"\"\\ud83d\"",
            b"\"\\x41\"",
            b"\"\xff\xfe\"",
            b"\"\\u12\"",
            b"01",
            b"NaN",
            b"",
            b"{\"b\":\"\x01\"}",
            b"[1,]",
        ] {
            let (before, after) = (
                &b" {\"a\" :"[..],
                &b", \"c\":{\"d\":[\"}\\\"\",1]},\"e\":null } "[..],
            );
            let (values, unreadable) = read(&[before, odd, after].concat()).unwrap();
            assert_eq!(values, json!({"c": {"d": ["}\"", 1]}, "e": null}));
            assert_eq!(unreadable, ["a"], "{odd:?}");
        }
    }

    #[test]
    fn text_without_the_outline_of_an_object_is_rejected() {
        for text in [
            &b""[..],
            b"{",
            b"[]",
            b"x{}",
            b"{x}",
            b"{\"a\"}",
            b"{\"a\x01\":1}",
            b"{\"a\":\"b}",
            b"{\"a\":[}",
            b"{\"a\":]}",
            b"{\"a\":\"b\\\"}",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
