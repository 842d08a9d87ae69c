//! The W3C trace context, level 1: the `traceparent` of a request, which its jobs carry and log lines
//! show. Spans are recorded and exported elsewhere. Stricter than OpenTelemetry's propagator; see
//! `docs/decisions/0035-own-parser-for-traceparent.md`.

use std::{fmt, str::FromStr};

use axum::http::HeaderMap;
use ulid::Ulid;

/// Length of a version 00 `traceparent`: `00-<32 hex>-<16 hex>-<2 hex>`.
const LENGTH: usize = 55;
/// The only flag that level 1 defines.
const SAMPLED: u8 = 0x01;

/// Request extension: the trace context for the jobs that the request enqueues.
#[derive(Clone, Debug)]
pub(crate) struct Trace(pub(crate) TraceParent);

/// A trace, and the span in it that is the parent of the next one.
///
/// Neither id is all zeros. Printed as version 00, whatever version was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    sampled: bool,
}

/// The text is not a valid `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent")]
pub(crate) struct TraceParentError;

impl TraceParent {
    /// Reads the header `traceparent`; `None`: it is missing or invalid.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        headers.get("traceparent")?.to_str().ok()?.parse().ok()
    }

    /// Starts a new, sampled trace.
    pub(crate) fn new_root() -> Self {
        Self {
            trace_id: Ulid::generate().to_bytes(),
            span_id: new_span_id(),
            sampled: true,
        }
    }

    /// Creates a child span in the same trace.
    #[must_use]
    pub(crate) fn child(&self) -> Self {
        Self {
            span_id: new_span_id(),
            ..*self
        }
    }

    /// The trace id, 32 lower-case hex digits.
    pub(crate) fn trace_id(&self) -> String {
        hex::encode(self.trace_id)
    }

    /// The span id, 16 lower-case hex digits.
    pub(crate) fn span_id(&self) -> String {
        hex::encode(self.span_id)
    }
}

/// Takes the last 64 bits of a ULID, which are random. A trace id is a whole ULID: its last bytes are
/// random, as the specification recommends.
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
        // A later version may append fields, after another dash. Version ff is invalid.
        let tail_is_valid = match version {
            0x00 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest[0] == b'-',
        };
        if dashes != [b'-'; 3] || !tail_is_valid || trace_id == [0; 16] || span_id == [0; 8] {
            return Err(TraceParentError);
        }
        Ok(Self {
            trace_id,
            span_id,
            sampled: flags & SAMPLED != 0,
        })
    }
}

/// Parses exactly `2 * N` lower-case hex digits; the specification allows no others.
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

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn example_of_the_specification_round_trips() {
        let parent: TraceParent = EXAMPLE.parse().unwrap();
        assert_eq!(parent.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.span_id(), "00f067aa0ba902b7");
        assert!(parent.sampled);
        assert_eq!(parent.to_string(), EXAMPLE);
    }

    #[test]
    fn child_has_the_trace_id_and_flag_of_its_parent() {
        let parent: TraceParent = EXAMPLE.replace("-01", "-00").parse().unwrap();
        let child = parent.child();
        assert_eq!(child.trace_id(), parent.trace_id());
        assert_ne!(child.span_id(), parent.span_id());
        assert!(!child.sampled);
    }

    #[test]
    fn new_root_is_valid() {
        let root = TraceParent::new_root();
        assert_eq!(root.to_string().parse(), Ok(root));
        assert_ne!(root, TraceParent::new_root());
    }

    #[test]
    fn unknown_flags_are_cleared() {
        let parent: TraceParent = EXAMPLE.replace("-01", "-03").parse().unwrap();
        assert_eq!(parent.to_string(), EXAMPLE);
    }

    #[test]
    fn later_versions_are_parsed_as_version_00() {
        let later = EXAMPLE.replacen("00-", "cc-", 1);
        for text in [
            later.clone(),
            format!("{later}-what-the-future-will-be-like"),
        ] {
            assert_eq!(text.parse::<TraceParent>().unwrap().to_string(), EXAMPLE);
        }
    }

    #[test]
    fn invalid_traceparents_are_rejected() {
        let long = format!("{EXAMPLE}-");
        let later_without_dash = format!("{}x", EXAMPLE.replacen("00-", "cc-", 1));
        for text in [
            "",
            "00",
            long.as_str(),
            later_without_dash.as_str(),
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
