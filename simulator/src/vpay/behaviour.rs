//! The settings of `PUT /_sim/vpay/settings`: variants on which the documents are silent, and conditions
//! that a server has to handle.

use serde::{Deserialize, Serialize};

/// The behaviour of virtual payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Behaviour {
    /// Time from the payment of coins to their credit, in seconds of the clock that can be advanced.
    pub(crate) coin_delay_seconds: u32,
    /// Whether granted coins are spent before bought ones.
    pub(crate) granted_first: bool,
    /// Whether a cancelled spend lowers `sum_cost`; otherwise the sums only grow.
    pub(crate) cancel_lowers_cost: bool,
    /// Whether a signature with the session key before is 90016 rather than 90010.
    pub(crate) stale_key_is_expired: bool,
    /// Maximum distance of `ts` from the platform's clock, in seconds; none accepts any.
    pub(crate) ts_tolerance_seconds: Option<u32>,
    /// Seconds for which an order that was not paid can be paid later.
    pub(crate) order_life_seconds: u32,
    /// Whether the prices in delivery pushes are those of one piece.
    pub(crate) prices_per_piece: bool,
    /// Whether the app may sell; otherwise the client gets -15005.
    pub(crate) may_sell: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            coin_delay_seconds: 0,
            granted_first: true,
            cancel_lowers_cost: true,
            stale_key_is_expired: true,
            ts_tolerance_seconds: None,
            order_life_seconds: 7_200,
            prices_per_piece: false,
            may_sell: true,
        }
    }
}
