//! When a push that was not accepted is sent again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Seconds before each try of a delivery, 24 hours in all.
const DELIVERY: [u64; 15] = [
    15, 15, 30, 180, 600, 1_200, 1_800, 1_800, 1_800, 3_600, 10_800, 10_800, 10_800, 21_600, 21_600,
];
/// Other payment events stop two tries earlier, after 12 hours.
const EVENT_TRIES: usize = 13;
/// Gift packs are repeated after 2, 4, 8 … 1024 minutes.
const GIFT_TRIES: usize = 10;
/// Any other event is sent three times.
const OTHER: [u64; 2] = [5, 5];

/// The ladder of a kind of push.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Ladder {
    /// Items that were bought.
    Delivery,
    /// Other payment events.
    Event,
    /// Gift packs.
    Gift,
    /// Everything else.
    Other,
}

impl Ladder {
    /// Returns the time before step `n`, from 0; none when the ladder ends.
    pub(crate) fn step(self, n: usize) -> Option<Duration> {
        let seconds = match self {
            Self::Delivery => DELIVERY.get(n).copied()?,
            Self::Event => DELIVERY[..EVENT_TRIES].get(n).copied()?,
            Self::Gift if n < GIFT_TRIES => 60 << (n + 1),
            Self::Gift => return None,
            Self::Other => OTHER.get(n).copied()?,
        };
        Some(Duration::from_secs(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ladders_have_their_documented_length() {
        let steps = |ladder: Ladder| {
            let steps = (0..)
                .map_while(|n| ladder.step(n))
                .map(|step| step.as_secs());
            steps.collect::<Vec<_>>()
        };
        let hours = |ladder| steps(ladder).iter().sum::<u64>() as f64 / 3600.0;
        assert_eq!(steps(Ladder::Delivery).len(), 15);
        assert_eq!(steps(Ladder::Event).len(), 13);
        assert!(
            (24.0..24.1).contains(&hours(Ladder::Delivery)),
            "{}",
            hours(Ladder::Delivery)
        );
        assert!(
            (12.0..12.1).contains(&hours(Ladder::Event)),
            "{}",
            hours(Ladder::Event)
        );
        assert_eq!(steps(Ladder::Gift).first(), Some(&120));
        assert_eq!(steps(Ladder::Gift).last(), Some(&(1024 * 60)));
        assert_eq!(steps(Ladder::Other).len(), 2);
    }
}
