//! The W3C trace context, level 1: the `traceparent` that a request brings along, a job carries and
//! a log line shows. It only names traces; recording and exporting spans is not its business.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ulid::Ulid;

/// Length of a version 00 `traceparent`: `00-<32 hex>-<16 hex>-<2 hex>`.
const LENGTH: usize = 55;
/// The one flag that level 1 defines.
const SAMPLED: u8 = 0x01;

/// A place in a distributed trace: the trace and the span that is the parent of what comes next.
///
/// Neither id is ever all zeros. Printed in the form of version 00, whatever version was read.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TraceParent {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    sampled: bool,
}

/// A text is not a `traceparent` of the W3C trace context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent")]
pub(crate) struct TraceParentError;

impl TraceParent {
    /// Starts a new trace, sampled.
    pub(crate) fn new_root() -> Self {
        Self {
            trace_id: Ulid::generate().to_bytes(),
            span_id: new_span_id(),
            sampled: true,
        }
    }

    /// The same trace, one span further.
    #[must_use]
    pub(crate) fn child(&self) -> Self {
        Self {
            span_id: new_span_id(),
            ..*self
        }
    }

    /// The trace, as 32 lower-case hex digits.
    pub(crate) fn trace_id(&self) -> String {
        hex::encode(self.trace_id)
    }

    /// The span, as 16 lower-case hex digits.
    pub(crate) fn span_id(&self) -> String {
        hex::encode(self.span_id)
    }
}

/// A ULID's last 80 bits are random and never fail to be had, so ids are cut from ULIDs: a trace id
/// is a whole one (its right-hand bytes are random, as the specification wishes), a span id its
/// tail.
fn new_span_id() -> [u8; 8] {
    loop {
        let [.., a, b, c, d, e, f, g, h] = Ulid::generate().to_bytes();
        let id = [a, b, c, d, e, f, g, h];
        if id != [0; 8] {
            return id;
        }
    }
}

impl FromStr for TraceParent {
    type Err = TraceParentError;

    fn from_str(text: &str) -> Result<Self, TraceParentError> {
        let bytes = text.as_bytes();
        let (head, rest) = bytes.split_at_checked(LENGTH).ok_or(TraceParentError)?;
        let dashes = [head[2], head[35], head[52]];
        let [version] = hex_bytes(&head[..2])?;
        let trace_id = hex_bytes(&head[3..35])?;
        let span_id = hex_bytes(&head[36..52])?;
        let [flags] = hex_bytes(&head[53..])?;
        // A later version may append fields, but only behind a further dash. Version ff is
        // forbidden.
        let tail_fits = match version {
            0x00 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest[0] == b'-',
        };
        if dashes != [b'-'; 3] || !tail_fits || trace_id == [0; 16] || span_id == [0; 8] {
            return Err(TraceParentError);
        }
        Ok(Self {
            trace_id,
            span_id,
            sampled: flags & SAMPLED != 0,
        })
    }
}

/// Reads exactly `2 * N` lower-case hex digits: the specification allows no others.
fn hex_bytes<const N: usize>(digits: &[u8]) -> Result<[u8; N], TraceParentError> {
    if digits.iter().any(u8::is_ascii_uppercase) {
        return Err(TraceParentError);
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| TraceParentError)?;
    Ok(bytes)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = if self.sampled { SAMPLED } else { 0 };
        write!(f, "00-{}-{}-{flags:02x}", self.trace_id(), self.span_id())
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceParent({self})")
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_example_of_the_specification_is_read_and_printed() {
        let parent: TraceParent = EXAMPLE.parse().unwrap();
        assert_eq!(parent.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.span_id(), "00f067aa0ba902b7");
        assert!(parent.sampled);
        assert_eq!(parent.to_string(), EXAMPLE);
        assert_eq!(
            serde_json::to_string(&parent).unwrap(),
            format!("\"{EXAMPLE}\"")
        );
    }

    #[test]
    fn a_child_keeps_the_trace_and_the_flag() {
        let parent: TraceParent = EXAMPLE.replace("-01", "-00").parse().unwrap();
        let child = parent.child();
        assert_eq!(child.trace_id(), parent.trace_id());
        assert_ne!(child.span_id(), parent.span_id());
        assert!(!child.sampled);
    }

    #[test]
    fn a_new_root_is_valid() {
        let root = TraceParent::new_root();
        assert_eq!(root.to_string().parse(), Ok(root));
        assert_ne!(root, TraceParent::new_root());
    }

    #[test]
    fn flags_that_level_1_does_not_know_are_not_passed_on() {
        let parent: TraceParent = EXAMPLE.replace("-01", "-03").parse().unwrap();
        assert_eq!(parent.to_string(), EXAMPLE);
    }

    #[test]
    fn later_versions_are_read_as_far_as_we_understand_them() {
        let later = EXAMPLE.replacen("00-", "cc-", 1);
        for text in [
            later.clone(),
            format!("{later}-what-the-future-will-be-like"),
        ] {
            assert_eq!(text.parse::<TraceParent>().unwrap().to_string(), EXAMPLE);
        }
    }

    #[test]
    fn what_the_specification_forbids_is_refused() {
        let long = format!("{EXAMPLE}-");
        let later_glued = format!("{}x", EXAMPLE.replacen("00-", "cc-", 1));
        for text in [
            "",
            "00",
            long.as_str(),
            later_glued.as_str(),
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(
                text.parse::<TraceParent>(),
                Err(TraceParentError),
                "{text:?}"
            );
        }
    }
}
