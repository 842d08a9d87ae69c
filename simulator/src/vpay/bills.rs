//! Bill numbers: WeChat recognises a repeated one for 48 hours, then the number counts as new.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::ingress::{Refusal, Request};
use super::ledger::Parts;
use super::state::Env;
use crate::wire::errcode;

const MEMORY: SignedDuration = SignedDuration::from_hours(48);

/// A number within player, environment and zone.
type Key = (String, Env, String, String);

struct Bill {
    applied_at: Timestamp,
    amount: i64,
    /// How often the number was applied: more than once only if it was forgotten meanwhile.
    times: u32,
    /// What a spend took and was not given back; none for other bills.
    spent: Option<Parts>,
}

/// The numbers that were applied.
#[derive(Default)]
pub(crate) struct Bills(HashMap<Key, Bill>);

fn key(request: &Request<'_>, bill_no: &str) -> Key {
    (
        request.openid.to_owned(),
        request.env,
        request.zone.to_owned(),
        bill_no.to_owned(),
    )
}

impl Bills {
    /// Refuses a number that was applied within the last 48 hours, whatever it was for.
    pub(crate) fn check(&self, request: &Request<'_>, bill_no: &str) -> Result<(), Refusal> {
        let bill = self.0.get(&key(request, bill_no));
        match bill {
            Some(bill) if request.now.duration_since(bill.applied_at) < MEMORY => {
                Err(Refusal::new(errcode::VPAY_REPEATED, "bill_no is repeated"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn apply(
        &mut self,
        request: &Request<'_>,
        bill_no: &str,
        amount: i64,
        spent: Option<Parts>,
    ) {
        let key = key(request, bill_no);
        let times = 1 + self.0.get(&key).map_or(0, |before| before.times);
        let bill = Bill {
            applied_at: request.now,
            amount,
            times,
            spent,
        };
        self.0.insert(key, bill);
    }

    /// Returns the numbers of a player for the console.
    pub(crate) fn views(&self, openid: &str) -> Vec<Value> {
        self.0
            .iter()
            .filter(|((owner, ..), _)| owner == openid)
            .map(|((_, env, zone, bill_no), bill)| {
                json!({"billNo": bill_no, "env": env, "zone": zone, "amount": bill.amount,
                    "times": bill.times, "appliedAt": bill.applied_at})
            })
            .collect()
    }

    /// Takes coins out of a spend in order to give them back, bought ones first.
    pub(crate) fn take(
        &mut self,
        request: &Request<'_>,
        spend: &str,
        coins: i64,
    ) -> Result<Parts, Refusal> {
        let bill = self.0.get_mut(&key(request, spend));
        let spent = bill.and_then(|bill| bill.spent.as_mut());
        let spent = spent.ok_or(Refusal::new(errcode::VPAY_NOT_FOUND, "order not found"))?;
        if spent.bought + spent.granted < coins {
            return Err(Refusal::parameter(
                "amount",
                "is more than is left of the spend",
            ));
        }
        let bought = coins.min(spent.bought);
        let parts = Parts {
            bought,
            granted: coins - bought,
        };
        spent.bought -= parts.bought;
        spent.granted -= parts.granted;
        Ok(parts)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
