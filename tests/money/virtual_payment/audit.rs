//! The invariants of orders through virtual payment: paid at most once, granted exactly what was paid and not refunded,
//! and the same amounts here and at WeChat. Those of coins are in [`super::coins`].

use std::collections::BTreeSet;

use avalon_core::payments::order_rows::Order;
use avalon_core::payments::refunds::Refund;
use avalon_core::payments::virtual_request::Mode;
use avalon_core::payments::{OrderStatus, PayWith};
use serde_json::Value;

use crate::run::Run;
use crate::shop::Player;
use crate::tally::Tally;
use avalon_tests::books::{Entry, by, money_adds_up};

/// Outcomes of pushes whose orders, products and signatures are all known.
const EXPECTED_OUTCOMES: [&str; 4] = ["granted", "duplicate", "refunded", "waits"];

/// An order that was checked.
pub(crate) struct Checked {
    /// Its number at WeChat.
    pub(crate) number: String,
    pub(crate) is_of_the_store: bool,
    pub(crate) tally: Tally,
}

impl Run<'_> {
    /// All players, also one whose row only an order of the store has created.
    pub(crate) async fn everyone(&self) -> Vec<Player> {
        let Some(customers) = &self.customers else {
            return self.players.clone();
        };
        let mut everyone = Vec::new();
        for customer in &customers.all {
            everyone.extend(self.shop.user(&customer.open_id).await.map(Player));
        }
        everyone
    }

    /// Compares an order with WeChat's.
    pub(crate) async fn virtual_order(
        &self,
        order: &Order,
        refunds: &[Refund],
        ledger: &[Entry],
    ) -> Checked {
        let number = self.number_of(order).await;
        let mode = order.virtual_request().map(|request| request.mode);
        let is_of_the_store = mode == Some(Mode::Store);
        let mut tally = Tally::default();
        if order.pay_with == PayWith::Coins {
            self.spend_matches(order, ledger, &mut tally).await;
        } else {
            let theirs = by(self.their_orders().await, "outTradeNo");
            self.payment_matches(order, theirs.get(&number), &number);
            money_adds_up(order, refunds);
            tally.virtual_paid += usize::from(order.status.was_paid());
            tally.store += usize::from(is_of_the_store);
        }
        self.virtual_webhooks_match(order, refunds).await;
        Checked {
            number,
            is_of_the_store,
            tally,
        }
    }

    async fn number_of(&self, order: &Order) -> String {
        let store: Option<String> =
            sqlx::query_scalar("SELECT out_trade_no FROM store_orders WHERE order_id = $1")
                .bind(order.id)
                .fetch_optional(self.shop.database.pool())
                .await
                .unwrap();
        store.unwrap_or_else(|| order.id.to_string())
    }

    fn payment_matches(&self, order: &Order, theirs: Option<&Value>, number: &str) {
        let paid = theirs.is_some_and(|theirs| !theirs["paid"].is_null());
        if paid && !order.status.was_paid() {
            assert!(
                self.may_be_unknown(order, number),
                "paid at WeChat: {order:?}"
            );
            return;
        }
        assert_eq!(order.status.was_paid(), paid, "{order:?}");
        let Some(theirs) = theirs.filter(|_| paid) else {
            return;
        };
        let total = theirs["price"].as_i64().unwrap() * theirs["quantity"].as_i64().unwrap();
        assert_eq!(order.total_fee.get(), total, "{order:?}");
        let transaction = theirs["paid"]["wechatPay"]["transactionId"].as_str();
        assert_eq!(order.transaction_id.as_deref(), transaction, "{order:?}");
        let refunded = theirs["refunded"].as_i64().unwrap();
        assert_eq!(order.refunded_fee.get(), refunded, "{order:?}");
    }

    /// Whether nothing can have reported this payment: its push may be lost, and its player, without whom there is
    /// no query, is absent.
    fn may_be_unknown(&self, order: &Order, number: &str) -> bool {
        let customers = self.everybody();
        let mut all = customers.all.iter();
        let player = all.position(|customer| customer.open_id == order.open_id);
        let findable = customers.findable.lock().unwrap();
        findable.contains(number) && self.is_absent(player.unwrap())
    }

    async fn virtual_webhooks_match(&self, order: &Order, refunds: &[Refund]) {
        let webhooks: Vec<(String, String)> =
            sqlx::query_as("SELECT type, id FROM fulfilments WHERE order_id = $1")
                .bind(order.id)
                .fetch_all(self.shop.database.pool())
                .await
                .unwrap();
        let number = |of: &str| webhooks.iter().filter(|(kind, _)| kind == of).count();
        let paid = usize::from(order.status.was_paid());
        assert_eq!(number("order.paid"), paid, "{order:?}");
        let refunded = match order.pay_with {
            PayWith::Coins => usize::from(order.status == OrderStatus::Refunded),
            PayWith::Money => refunds.len(),
        };
        assert_eq!(number("order.refunded"), refunded, "{order:?}");
        let done: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM coin_changes WHERE order_id = $1 AND state = 'done'",
        )
        .bind(order.id)
        .fetch_one(self.shop.database.pool())
        .await
        .unwrap();
        assert_eq!(number("coins.changed"), usize::try_from(done).unwrap());
        for (_, id) in &webhooks {
            assert!(self.shop.game_server.received(id) > 0, "{order:?}");
        }
    }

    /// Checks what is not of a single order: WeChat has no payment that we do not know, each accepted push is
    /// stored and processed, and the coins of every player agree.
    pub(crate) async fn virtual_books(&self, known: &[String]) -> Tally {
        let mut tally = Tally::default();
        let Some(customers) = &self.customers else {
            return tally;
        };
        let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
        for theirs in self.their_orders().await {
            let number = theirs["outTradeNo"].as_str().unwrap();
            assert!(known.contains(number), "only WeChat knows {theirs}");
        }
        let (mut accepted, pushes) = (0, self.pushes().await);
        for push in &pushes {
            accepted += i64::from(push["status"] == "accepted");
        }
        let outcomes: Vec<Option<String>> = sqlx::query_scalar("SELECT outcome FROM pushes")
            .fetch_all(self.shop.database.pool())
            .await
            .unwrap();
        for outcome in &outcomes {
            let outcome = outcome.as_deref().unwrap_or("pending");
            assert!(EXPECTED_OUTCOMES.contains(&outcome), "{outcome}");
        }
        let stored = i64::try_from(outcomes.len()).unwrap() - customers.pushes_before;
        assert_eq!(stored, accepted, "what was acknowledged is stored once");
        for (number, customer) in customers.all.iter().enumerate() {
            if let Some(user) = self.shop.user(&customer.open_id).await {
                self.coins_match(user, customer, self.is_absent(number), &mut tally)
                    .await;
            }
        }
        tally.decided = *customers.decided.lock().unwrap();
        tally
    }
}
