//! The coins of players: bought and granted ones, the sums of all changes, and purchases that are credited
//! later.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::state::Env;

/// A player's coins in one zone of one environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ledger {
    pub(crate) bought: i64,
    pub(crate) granted: i64,
    pub(crate) sum_save: i64,
    pub(crate) sum_present: i64,
    pub(crate) sum_cost: i64,
}

/// The owner of a ledger: openid, environment, zone.
pub(crate) type Owner = (String, Env, String);

/// Bought coins that are not credited yet.
struct Pending {
    owner: Owner,
    coins: i64,
    due: Timestamp,
}

/// All ledgers.
#[derive(Default)]
pub(crate) struct Ledgers {
    by_owner: BTreeMap<Owner, Ledger>,
    pending: Vec<Pending>,
}

/// The parts of a spend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Parts {
    pub(crate) bought: i64,
    pub(crate) granted: i64,
}

impl Ledger {
    pub(crate) fn balance(&self) -> i64 {
        self.bought + self.granted
    }

    pub(crate) fn save(&mut self, coins: i64) {
        self.bought += coins;
        self.sum_save += coins;
    }

    pub(crate) fn present(&mut self, coins: i64) {
        self.granted += coins;
        self.sum_present += coins;
    }

    /// Spends coins; none when there are fewer.
    pub(crate) fn spend(&mut self, coins: i64, granted_first: bool) -> Option<Parts> {
        if self.balance() < coins {
            return None;
        }
        let granted = match granted_first {
            true => coins.min(self.granted),
            false => coins - coins.min(self.bought),
        };
        let parts = Parts {
            granted,
            bought: coins - granted,
        };
        self.granted -= parts.granted;
        self.bought -= parts.bought;
        self.sum_cost += coins;
        Some(parts)
    }

    /// Gives parts of a spend back.
    pub(crate) fn give_back(&mut self, parts: Parts, lowers_cost: bool) {
        self.bought += parts.bought;
        self.granted += parts.granted;
        if lowers_cost {
            self.sum_cost -= parts.bought + parts.granted;
        }
    }

    /// Returns the answer of `getbalance`.
    pub(crate) fn answer(&self) -> Value {
        json!({
            "errcode": 0,
            "errmsg": "ok",
            "balance": self.balance(),
            "present_balance": self.granted,
            "sum_save": self.sum_save,
            "sum_present": self.sum_present,
            "sum_balance": self.sum_save + self.sum_present,
            "sum_cost": self.sum_cost,
            // A number in some answers, as WeChat is inconsistent here.
            "first_save": i64::from(self.sum_save > 0),
        })
    }
}

impl Ledgers {
    pub(crate) fn of(&mut self, openid: &str, env: Env, zone: &str) -> &mut Ledger {
        let owner = (openid.to_owned(), env, zone.to_owned());
        self.by_owner.entry(owner).or_default()
    }

    /// Credits bought coins at `due`.
    pub(crate) fn credit_at(&mut self, owner: Owner, coins: i64, due: Timestamp) {
        self.pending.push(Pending { owner, coins, due });
    }

    /// Credits what is due.
    pub(crate) fn credit_due(&mut self, now: Timestamp) {
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|pending| pending.due <= now);
        self.pending = later;
        for Pending { owner, coins, .. } in due {
            self.by_owner.entry(owner).or_default().save(coins);
        }
    }

    /// Returns the ledgers of a player for the console.
    pub(crate) fn views(&self, openid: &str) -> Vec<Value> {
        self.by_owner
            .iter()
            .filter(|((owner, ..), _)| owner == openid)
            .map(|((_, env, zone), ledger)| {
                json!({"env": env, "zone": zone, "balance": ledger.balance(), "ledger": ledger})
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.save(100);
        ledger.present(10);
        ledger
    }

    #[test]
    fn spends_take_granted_coins_first_unless_set_otherwise() {
        let spent = |granted_first| {
            let mut ledger = ledger();
            let parts = ledger.spend(60, granted_first).unwrap();
            (parts.granted, ledger.granted, ledger.bought)
        };
        assert_eq!(spent(true), (10, 0, 50));
        assert_eq!(spent(false), (0, 10, 40));
        assert_eq!(ledger().spend(111, true), None);
        assert_eq!(ledger().spend(110, true).unwrap().granted, 10);
    }

    #[test]
    fn sums_explain_the_balance() {
        let mut ledger = ledger();
        let parts = ledger.spend(60, true).unwrap();
        let total = |ledger: &Ledger| ledger.sum_save + ledger.sum_present - ledger.sum_cost;
        assert_eq!(ledger.balance(), total(&ledger));
        ledger.give_back(parts, true);
        assert_eq!((ledger.balance(), total(&ledger)), (110, 110));
    }
}
