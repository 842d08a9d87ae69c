//! The invariants of coins: each change is applied at most once at WeChat, and here exactly if there; the sums of
//! both ledgers agree; a spend grants its items once, and its return as a whole takes them back.

use std::collections::HashMap;

use avalon_core::base::ids::UserId;
use avalon_core::payments::OrderStatus;
use avalon_core::payments::coins::{self, CoinChange, CoinChangeKind, CoinChangeState, LedgerSums};
use avalon_core::payments::order_rows::Order;
use serde_json::Value;

use super::customers::Customer;
use crate::run::Run;
use crate::tally::Tally;
use avalon_tests::books::{Entry, by};

/// More changes than any player of a run has.
const LIMIT: i64 = 1000;

impl Run<'_> {
    /// Checks the order of a spend: it is paid exactly if the spend is done.
    pub(super) async fn spend_matches(&self, order: &Order, ledger: &[Entry], tally: &mut Tally) {
        let changes = coins::of_player(&self.shop.database, &order.open_id, LIMIT).await;
        let mut changes = changes.unwrap();
        changes.retain(|change| change.order_id == Some(order.id));
        let done = |kind| {
            let changes = changes.iter();
            let done = changes.filter(move |change| change.state == CoinChangeState::Done);
            done.filter(move |change| change.kind == kind)
        };
        let spent: i64 = done(CoinChangeKind::Spend).map(|it| it.amount).sum();
        let returned: i64 = done(CoinChangeKind::Return).map(|it| it.amount).sum();
        let cost = if order.status.was_paid() {
            order.coins.unwrap()
        } else {
            0
        };
        assert_eq!(spent, cost, "{order:?} {changes:?}");
        assert!(returned <= spent, "{order:?} {changes:?}");
        let returned_all = spent > 0 && returned == spent;
        let is_refunded = order.status == OrderStatus::Refunded;
        assert_eq!(returned_all, is_refunded, "{order:?} {changes:?}");
        // What the player had used stays used.
        for change in done(CoinChangeKind::Return) {
            let source = format!("return:{}", change.id);
            let taken = ledger.iter().filter(|entry| entry.source == source);
            let taken: i64 = taken.map(|entry| -entry.delta).sum();
            assert!((0..=order.quantity).contains(&taken), "{order:?}");
        }
        tally.spent += usize::from(spent > 0);
        tally.returned += usize::from(returned > 0);
    }

    /// Compares a player's changes and sums with WeChat's.
    pub(super) async fn coins_match(
        &self,
        user: UserId,
        customer: &Customer,
        is_absent: bool,
        tally: &mut Tally,
    ) {
        let changes = coins::of_player(&self.shop.database, &customer.open_id, LIMIT).await;
        let changes = changes.unwrap();
        let mut bills = by(self.bills(customer.open_id.as_str()).await, "billNo");
        for change in &changes {
            change_matches(change, bills.remove(&change.id).as_ref(), is_absent);
            tally.presented += usize::from(change.kind == CoinChangeKind::Present);
        }
        assert!(bills.is_empty(), "only WeChat knows {bills:?}");
        tally.waiting += self.waiting_for(user).await.len();

        let sums = coins::sums_of_player(&self.shop.database, user)
            .await
            .unwrap();
        if sums.in_flux {
            assert!(is_absent, "{changes:?}");
            return;
        }
        let path = format!("vpay/players/{}/coins", customer.open_id.as_str());
        let ledgers = self.shop.wechat.list_of(&path, "ledgers").await;
        let theirs = ledgers
            .first()
            .map_or(Value::Null, |it| it["ledger"].clone());
        let theirs: HashMap<&str, i64> = ["sumSave", "sumPresent", "sumCost", "bought", "granted"]
            .map(|name| (name, theirs[name].as_i64().unwrap_or(0)))
            .into();
        let LedgerSums {
            spent,
            returned,
            granted,
            ..
        } = sums;
        let saved = customer.given + self.coins_bought(customer).await;
        assert_eq!(theirs["sumCost"], spent - returned, "{changes:?}");
        assert_eq!(theirs["sumPresent"], granted, "{changes:?}");
        assert_eq!(theirs["sumSave"], saved, "{changes:?}");
        let balance = saved + granted - spent + returned;
        assert_eq!(theirs["bought"] + theirs["granted"], balance);
        assert!(balance >= 0, "{changes:?}");
    }

    /// Coins in the packs that WeChat has sold to a player.
    async fn coins_bought(&self, customer: &Customer) -> i64 {
        let orders = self.their_orders().await;
        let packs = orders.iter().filter(|order| {
            order["openid"] == customer.open_id.as_str()
                && order["item"] == "coins"
                && !order["paid"].is_null()
        });
        packs.map(|order| order["quantity"].as_i64().unwrap()).sum()
    }
}

fn change_matches(change: &CoinChange, bill: Option<&Value>, is_absent: bool) {
    let times = bill.map_or(0, |bill| bill["times"].as_i64().unwrap());
    assert!(times <= 1, "applied again: {change:?}");
    if let Some(bill) = bill {
        assert_eq!(bill["amount"], change.amount, "{change:?}");
    }
    match change.state {
        CoinChangeState::Done => assert_eq!(times, 1, "{change:?}"),
        CoinChangeState::Refused => assert_eq!(times, 0, "{change:?}"),
        CoinChangeState::Pending => assert!(is_absent && change.awaits_sign_in, "{change:?}"),
        CoinChangeState::Unsettled => panic!("{change:?}"),
    }
}
