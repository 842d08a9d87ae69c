//! WeChat's circuit breaker of gift packs: too many failed deliveries take a pack off the air until it is tested again.

use std::collections::BTreeMap;

use serde::Serialize;

/// Failures in a row that take a pack off the air. WeChat does not document its number.
const MAX_FAILURES: u32 = 10;

/// A pack as WeChat sees its deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pack {
    delivered: u32,
    failed: u32,
    failed_in_a_row: u32,
    is_off: bool,
}

/// All packs, by their ids.
#[derive(Default)]
pub(crate) struct GiftBreaker(BTreeMap<String, Pack>);

impl GiftBreaker {
    /// Whether the pack may be given.
    pub(crate) fn is_on(&self, pack: &str) -> bool {
        self.0.get(pack).is_none_or(|pack| !pack.is_off)
    }

    /// Counts an answer to a delivery.
    pub(crate) fn answered(&mut self, pack: &str, accepted: bool) {
        let pack = self.0.entry(pack.to_owned()).or_default();
        if accepted {
            pack.delivered += 1;
            pack.failed_in_a_row = 0;
        } else {
            pack.failed += 1;
            pack.failed_in_a_row += 1;
            pack.is_off |= pack.failed_in_a_row >= MAX_FAILURES;
        }
    }

    /// Puts a pack on the air again, after a test that was accepted.
    pub(crate) fn tested(&mut self, pack: &str) {
        let pack = self.0.entry(pack.to_owned()).or_default();
        (pack.is_off, pack.failed_in_a_row) = (false, 0);
    }

    pub(crate) fn packs(&self) -> &BTreeMap<String, Pack> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_take_a_pack_off_the_air() {
        let mut breaker = GiftBreaker::default();
        for _ in 0..MAX_FAILURES - 1 {
            breaker.answered("a", false);
        }
        breaker.answered("a", true);
        assert!(breaker.is_on("a"));
        for _ in 0..MAX_FAILURES {
            breaker.answered("a", false);
        }
        assert!(!breaker.is_on("a") && breaker.is_on("b"));
        breaker.tested("a");
        assert!(breaker.is_on("a"));
    }
}
