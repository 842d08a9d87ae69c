//! The invariants that hold once a run has settled: our books are consistent in themselves and agree
//! with WeChat's.

use std::collections::HashSet;

use avalon_core::base::ids::RefundId;
use avalon_core::payments::order_rows::{self, Order};
use avalon_core::payments::refunds::{self, Refund};
use avalon_core::payments::{Channel, OrderStatus, inventory, products};
use avalon_queue::{JobState, JobStore};
use avalon_tests::books::{
    Entry, accounted_for, by, granted_once, money_adds_up, order_matches_wechat,
    refund_matches_wechat, revoked_once,
};

use crate::run::{LIMIT, Run, STOCK};
use crate::shop::Player;
use crate::tally::Tally;

/// Failures that injected faults and worker crashes may cause. A dead letter with any other is a defect.
const EXPECTED_FAILURES: [&str; 6] = [
    "LEASE_EXPIRED",
    "PAY_BUSY",
    "POISON",
    "QUEUE_UNAVAILABLE",
    "STORE_UNAVAILABLE",
    "WEBHOOK_FAILED",
];

impl Run<'_> {
    /// Checks every invariant and returns what was counted.
    pub(crate) async fn audit(&self) -> Tally {
        let wechat = &self.shop.wechat;
        let (theirs, their_refunds) = (
            by(wechat.list("orders", "orders").await, "outTradeNo"),
            by(wechat.list("refunds", "refunds").await, "outRefundNo"),
        );
        let mut tally = Tally::default();
        let (mut ours, mut our_refunds) = (0, 0);
        let mut held = [0, 0];
        let mut known = Vec::new();
        for player in &self.everyone().await {
            let ledger = self.ledger(*player).await;
            self.ledger_matches_balance(*player, &ledger).await;
            let orders = order_rows::of_user(&self.shop.database, player.0, None, None, 100);
            let (mut bought, mut late_ones, mut sources) = (0, 0, HashSet::new());
            for order in orders.await.unwrap() {
                let refunds = refunds::of_order(&self.shop.database, order.id);
                let refunds = refunds.await.unwrap();
                let their_order = theirs.get(&order.id.to_string());
                ours += usize::from(their_order.is_some());
                our_refunds += refunds
                    .iter()
                    .filter(|refund| their_refunds.contains_key(&refund.refund_id.to_string()))
                    .count();

                let late = self.history_is_legal(&order).await;
                granted_once(&order, &ledger);
                sources.insert(format!("order:{}", order.id));
                for refund in &refunds {
                    revoked_once(refund, &ledger);
                    sources.insert(format!("refund:{}", refund.refund_id));
                }
                match order.channel {
                    Channel::WechatPay => {
                        order_matches_wechat(&order, their_order);
                        for refund in &refunds {
                            let their_refund = their_refunds.get(&refund.refund_id.to_string());
                            refund_matches_wechat(refund, their_refund);
                        }
                        money_adds_up(&order, &refunds);
                        self.late_payment_was_refunded(&order, late, &refunds).await;
                        let paid_back = self.automatic_refunds_take_all(&order).await;
                        self.webhooks_match(&order, paid_back).await;
                    }
                    Channel::VirtualPayment => {
                        let checked = self.virtual_order(&order, &refunds, &ledger).await;
                        tally.add(checked.tally);
                        // The store sells without regard to our limit.
                        late_ones += usize::from(checked.is_of_the_store);
                        known.push(checked.number);
                    }
                }

                // Packs of coins have neither stock nor limit.
                let mut products = self.products.iter();
                let product = products.position(|product| *product == order.product_id);
                if let (Some(product), true) = (product, holds_stock(order.status)) {
                    held[product] += order.quantity;
                    bought += if product == 1 { order.quantity } else { 0 };
                }
                late_ones += usize::from(late);
                tally.orders += 1;
                tally.paid += usize::from(order.status.was_paid());
                tally.late += usize::from(late);
                tally.refunds += refunds.len();
                tally.refunded += usize::from(order.status == OrderStatus::Refunded);
                tally.closed += usize::from(order.status == OrderStatus::Closed);
            }
            accounted_for(&ledger, &sources);
            assert!(
                late_ones > 0 || bought <= LIMIT,
                "{bought} exceed the limit"
            );
        }
        assert_eq!(theirs.len(), ours, "WeChat has an order that we do not");
        assert_eq!(
            their_refunds.len(),
            our_refunds,
            "WeChat has a refund that we do not"
        );
        self.stock_is_conserved(held[0]).await;
        self.acknowledged_is_stored().await;
        tally.add(self.virtual_books(&known).await);
        tally.dead_letters = self.dead_letters_are_expected().await;
        tally
    }

    async fn ledger(&self, player: Player) -> Vec<Entry> {
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "SELECT source, product_id, delta FROM inventory_ledger WHERE user_id = $1",
        )
        .bind(player.0.to_string())
        .fetch_all(self.shop.database.pool())
        .await
        .unwrap();
        rows.into_iter()
            .map(|(source, product, delta)| Entry {
                source,
                product,
                delta,
            })
            .collect()
    }

    async fn ledger_matches_balance(&self, player: Player, ledger: &[Entry]) {
        let items = inventory::items(&self.shop.database, player.0)
            .await
            .unwrap();
        for product in &self.products {
            let sum: i64 = ledger
                .iter()
                .filter(|entry| entry.product == product.as_str())
                .map(|entry| entry.delta)
                .sum();
            let item = items.iter().find(|item| item.product_id == *product);
            let balance = item.map_or(0, |item| item.quantity);
            assert_eq!(balance, sum, "the balance is the ledger's sum");
        }
    }

    /// Checks that each state may follow the one before. Returns whether the order was paid after it
    /// had closed.
    async fn history_is_legal(&self, order: &Order) -> bool {
        let history = order_rows::history(&self.shop.database, order.id);
        let history = history.await.unwrap();
        let states: Vec<OrderStatus> = history
            .iter()
            .map(|entry| entry.status.parse().unwrap())
            .collect();
        assert_eq!(states.first(), Some(&OrderStatus::Pending), "{history:?}");
        let paid = states
            .windows(2)
            .filter(|pair| !pair[0].was_paid() && pair[1].was_paid())
            .count();
        assert_eq!(paid, usize::from(order.status.was_paid()), "{history:?}");
        for pair in states.windows(2) {
            // A partial refund leaves the status unchanged.
            let legal = pair[0].may_become(pair[1]) || (pair[0] == pair[1] && pair[0].was_paid());
            assert!(legal, "{history:?}");
        }
        assert_eq!(states.last(), Some(&order.status), "{history:?}");
        states
            .windows(2)
            .any(|pair| pair == [OrderStatus::Closed, OrderStatus::Paid])
    }

    async fn late_payment_was_refunded(&self, order: &Order, late: bool, refunds: &[Refund]) {
        if !late || !self.script.refund_late_payments {
            return;
        }
        let id: Option<RefundId> = sqlx::query_scalar(
            "SELECT id FROM refunds WHERE order_id = $1 AND idempotency_key = 'late payment'",
        )
        .bind(order.id)
        .fetch_optional(self.shop.database.pool())
        .await
        .unwrap();
        let refund = refunds
            .iter()
            .find(|refund| Some(refund.refund_id) == id)
            .unwrap_or_else(|| panic!("a late payment was not refunded: {order:?}"));
        assert_eq!(refund.amount, order.total_fee, "{refund:?}");
    }

    /// Whoever has the money back without an operator's decision has none of the items. Returns whether the
    /// order has such a refund.
    async fn automatic_refunds_take_all(&self, order: &Order) -> bool {
        let refunds: Vec<(String, i64, Option<i64>)> = sqlx::query_as(
            "SELECT status, quantity, revoked FROM refunds
             WHERE order_id = $1 AND idempotency_key LIKE 'late payment%'",
        )
        .bind(order.id)
        .fetch_all(self.shop.database.pool())
        .await
        .unwrap();
        for (status, quantity, revoked) in &refunds {
            assert!(
                status != "succeeded" || *revoked == Some(*quantity),
                "items kept, money back: {order:?}"
            );
        }
        !refunds.is_empty()
    }

    async fn webhooks_match(&self, order: &Order, paid_back: bool) {
        let mut webhooks: Vec<(String, String)> =
            sqlx::query_as("SELECT type, id FROM fulfilments WHERE order_id = $1")
                .bind(order.id)
                .fetch_all(self.shop.database.pool())
                .await
                .unwrap();
        webhooks.sort();
        let kinds: Vec<&str> = webhooks.iter().map(|(kind, _)| kind.as_str()).collect();
        let expected: &[&str] = match order.status {
            // A payment that was paid back is reported only if it could not be refunded.
            OrderStatus::Refunded if paid_back && kinds.len() == 1 => {
                assert!(self.script.refund_late_payments, "{order:?}");
                &["order.refunded"]
            }
            OrderStatus::Refunded => &["order.paid", "order.refunded"],
            status if status.was_paid() => &["order.paid"],
            _ => &[],
        };
        assert_eq!(kinds, expected, "{order:?}");
        for (_, id) in &webhooks {
            assert!(self.shop.game_server.received(id) > 0, "{order:?}");
        }
    }

    /// Every acknowledged callback is in the inbox, except those that a key of WeChat turned out not to have signed.
    async fn acknowledged_is_stored(&self) {
        let mut acknowledged = 0;
        let mut callbacks = self.shop.wechat.list("callbacks", "callbacks").await;
        callbacks.retain(|callback| callback["forged"] != "unknownSerial");
        for callback in callbacks {
            let attempts = callback["attempts"].as_array().unwrap();
            acknowledged += attempts.iter().filter(|a| a["status"] == 204).count();
        }
        let stored = self.shop.count("SELECT count(*) FROM inbox").await - self.stored_before;
        assert_eq!(stored, i64::try_from(acknowledged).unwrap());
    }

    async fn stock_is_conserved(&self, held: i64) {
        let all = products::list(&self.shop.database, false).await.unwrap();
        let scarce = all
            .iter()
            .find(|product| product.product_id == self.products[0]);
        let left = scarce.unwrap().stock.unwrap();
        assert_eq!(left + held, STOCK, "left {left}, sold or held {held}");
    }

    async fn dead_letters_are_expected(&self) -> usize {
        let dead = self.shop.jobs(JobState::Dead).await;
        for job in &dead {
            let code = job.error.as_ref().map(|failure| failure.code.as_str());
            assert!(
                code.is_some_and(|code| EXPECTED_FAILURES.contains(&code)),
                "{job:?}"
            );
            self.shop.store.purge(job.id).await.unwrap();
        }
        dead.len()
    }
}

fn holds_stock(status: OrderStatus) -> bool {
    use OrderStatus::{Paid, Pending, Refunding};
    matches!(status, Pending | Paid | Refunding)
}
