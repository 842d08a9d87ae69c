//! Every payment that WeChat Pay holds is granted once and every refund takes back once; ledger, stock and orders
//! agree with WeChat's books.

use std::collections::{BTreeSet, HashMap};

use avalon_core::base::ids::OrderId;
use avalon_core::payments::{Channel, PayWith, order_rows, refunds};
use avalon_tests::books::{
    Entry, by, granted_once, money_adds_up, order_matches_wechat, refund_matches_wechat,
    revoked_once,
};
use sqlx::Row;

use super::{Facts, asserted};
use crate::world::STOCK;

impl Facts<'_> {
    pub(super) async fn books(&self) -> Vec<String> {
        let wechat = &self.world.wechat;
        let theirs = by(wechat.list("pay/orders", "orders").await, "outTradeNo");
        let their_refunds = by(wechat.list("pay/refunds", "refunds").await, "outRefundNo");
        let ledger = self.ledger().await;
        let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM orders ORDER BY id")
            .fetch_all(&self.rows)
            .await
            .unwrap();
        let mut found = self.ledger_is_consistent().await;
        let (mut ours, mut our_refunds) = (0, 0);
        for id in &ids {
            let id: OrderId = id.parse().unwrap();
            let order = order_rows::by_id(&self.database, id).await.unwrap();
            let order = order.expect("the order exists");
            let refunds = refunds::of_order(&self.database, id).await.unwrap();
            let entries = |id: String| ledger.get(&id).map_or(&[][..], Vec::as_slice);
            found.extend(asserted(|| granted_once(&order, entries(id.to_string()))));
            if order.pay_with == PayWith::Money {
                found.extend(asserted(|| money_adds_up(&order, &refunds)));
            }
            for refund in &refunds {
                let entries = entries(refund.refund_id.to_string());
                found.extend(asserted(|| revoked_once(refund, entries)));
            }
            if order.channel != Channel::WechatPay {
                continue;
            }
            let their_order = theirs.get(&id.to_string());
            ours += usize::from(their_order.is_some());
            found.extend(asserted(|| order_matches_wechat(&order, their_order)));
            for refund in &refunds {
                let theirs = their_refunds.get(&refund.refund_id.to_string());
                our_refunds += usize::from(theirs.is_some());
                found.extend(asserted(|| refund_matches_wechat(refund, theirs)));
            }
        }
        if (ours, our_refunds) != (theirs.len(), their_refunds.len()) {
            found.push("WeChat Pay has an order or a refund that we do not".to_owned());
        }
        let ids: BTreeSet<String> = ids.into_iter().collect();
        let missing = self.journal.entries().orders.clone();
        let missing = missing.into_iter().filter(|order| !ids.contains(order));
        found.extend(missing.map(|order| format!("an order that players know is gone: {order}")));
        found.extend(self.acknowledged_is_stored().await);
        println!(
            "{} orders, {} of them at WeChat Pay, {} refunds there",
            ids.len(),
            theirs.len(),
            their_refunds.len()
        );
        found
    }

    /// Every callback that was acknowledged is in the inbox; a forgery may have been removed from it.
    async fn acknowledged_is_stored(&self) -> Option<String> {
        let callbacks = self.world.wechat.list("pay/callbacks", "callbacks").await;
        let genuine = callbacks
            .iter()
            .flat_map(|callback| callback["attempts"].as_array().cloned().unwrap_or_default());
        let acknowledged = genuine.filter(|attempt| attempt["status"] == 204).count();
        let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM inbox")
            .fetch_one(&self.rows)
            .await
            .unwrap();
        let lost = stored < i64::try_from(acknowledged).unwrap();
        lost.then(|| format!("{acknowledged} callbacks were acknowledged, {stored} are stored"))
    }

    /// The ledger, by the id of the order or the refund that caused an entry.
    async fn ledger(&self) -> HashMap<String, Vec<Entry>> {
        let rows = sqlx::query("SELECT source, product_id, delta FROM inventory_ledger")
            .fetch_all(&self.rows)
            .await
            .unwrap();
        let mut ledger = HashMap::<String, Vec<Entry>>::new();
        for row in rows {
            let source: String = row.get("source");
            let cause = source.split(':').nth(1).unwrap_or_default().to_owned();
            ledger.entry(cause).or_default().push(Entry {
                source,
                product: row.get("product_id"),
                delta: row.get("delta"),
            });
        }
        ledger
    }

    async fn ledger_is_consistent(&self) -> Vec<String> {
        let mut found = self
            .none(
                "the balance is not the sum of the ledger",
                "SELECT coalesce(i.user_id, l.user_id) || ' ' || coalesce(i.product_id, l.product_id)
                 FROM inventory i FULL JOIN (
                     SELECT user_id, product_id, CAST(sum(delta) AS BIGINT) AS quantity
                     FROM inventory_ledger GROUP BY user_id, product_id
                 ) l ON l.user_id = i.user_id AND l.product_id = i.product_id
                 WHERE coalesce(i.quantity, 0) <> coalesce(l.quantity, 0)",
            )
            .await;
        let left: i64 = sqlx::query_scalar(
            "SELECT stock + (SELECT coalesce(CAST(sum(quantity) AS BIGINT), 0) FROM orders
                             WHERE product_id = 'gems' AND status IN ('pending', 'paid', 'refunding'))
             FROM products WHERE id = 'gems'",
        )
        .fetch_one(&self.rows)
        .await
        .unwrap();
        if left != STOCK {
            found.push(format!("stock and orders are {left} together, not {STOCK}"));
        }
        let sources: Vec<String> =
            sqlx::query_scalar("SELECT source FROM inventory_ledger WHERE source LIKE 'consume:%'")
                .fetch_all(&self.rows)
                .await
                .unwrap();
        let sources: BTreeSet<String> = sources.into_iter().collect();
        let entries = self.journal.entries();
        let lost = entries.consumed.iter().filter(|it| !sources.contains(*it));
        found.extend(lost.map(|it| format!("an accepted use is not in the ledger: {it}")));
        let extra = entries
            .not_consumed
            .iter()
            .filter(|it| sources.contains(*it));
        found.extend(extra.map(|it| format!("a refused use is in the ledger: {it}")));
        found
    }
}
