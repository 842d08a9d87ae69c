//! What a call with a `bill_no` achieved: WeChat answers a number that it applied before with 90012,
//! without saying what it had applied.

use super::{BillNo, CoinAmount, Env, ZoneId};
use crate::OpenId;

/// The effect of a call with a `bill_no`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied<T> {
    /// This call took effect.
    Now(T),
    /// An earlier call with this number took effect. A success only if that call was this one.
    Before(RepeatedBill),
}

/// A number that WeChat had applied before, and what this call asked for.
///
/// WeChat compares only the number within player and zone, so one that was used for something else is
/// answered the same. The caller compares with its own record before it grants anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatedBill {
    /// The number.
    pub bill_no: BillNo,
    /// The player of this call.
    pub open_id: OpenId,
    /// The amount of this call.
    pub amount: CoinAmount,
    /// The environment of this call.
    pub env: Env,
    /// The zone of this call.
    pub zone: ZoneId,
}

impl RepeatedBill {
    /// Whether the record that was stored before the first call is of the same player and amount: then
    /// the earlier call was this one.
    pub fn agrees_with(&self, recorded_player: &OpenId, recorded_amount: CoinAmount) -> bool {
        self.open_id == *recorded_player && self.amount == recorded_amount
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeat_agrees_only_with_the_same_player_and_amount() {
        let amount = |coins| CoinAmount::new(coins).unwrap();
        let repeat = RepeatedBill {
            bill_no: BillNo::parse("spend-1").unwrap(),
            open_id: OpenId::new("oA"),
            amount: amount(60),
            env: Env::Production,
            zone: ZoneId::default(),
        };
        assert!(repeat.agrees_with(&OpenId::new("oA"), amount(60)));
        assert!(!repeat.agrees_with(&OpenId::new("oB"), amount(60)));
        assert!(!repeat.agrees_with(&OpenId::new("oA"), amount(61)));
    }
}
