//! The same for virtual payment, and coins: each spend at WeChat is a paid order here.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::Row;

use super::Facts;

impl Facts<'_> {
    pub(super) async fn virtual_books(&self) -> Vec<String> {
        let mut found = self.deliveries().await;
        found.extend(self.coins().await);
        found
    }

    async fn deliveries(&self) -> Vec<String> {
        let rows = sqlx::query(
            "SELECT o.id, o.status, o.refunded_fee FROM orders o
             WHERE o.channel = 'virtual_payment' AND NOT EXISTS (
                 SELECT 1 FROM coin_changes c WHERE c.order_id = o.id AND c.kind = 'spend')",
        )
        .fetch_all(&self.rows)
        .await
        .unwrap();
        let mut ours: BTreeMap<String, (String, i64)> = rows
            .iter()
            .map(|row| (row.get("id"), (row.get("status"), row.get("refunded_fee"))))
            .collect();
        let theirs = self.world.wechat.list("vpay/orders", "orders").await;
        let count = theirs.len();
        let mut found = Vec::new();
        for their in theirs {
            let number = their["outTradeNo"].as_str().unwrap().to_owned();
            let Some((status, refunded)) = ours.remove(&number) else {
                found.push(format!(
                    "virtual payment has an order that we do not: {their}"
                ));
                continue;
            };
            let paid_here = matches!(status.as_str(), "paid" | "refunded" | "refunding");
            if paid_here == their["paid"].is_null() {
                found.push(format!(
                    "{status} here, but not at virtual payment: {their}"
                ));
            }
            if json!(refunded) != their["refunded"] {
                found.push(format!("{refunded} refunded here, but not there: {their}"));
            }
        }
        // What no client has begun is unknown there.
        let paid = ours
            .iter()
            .filter(|(_, (status, _))| status != "closed" && status != "failed");
        found.extend(paid.map(|(id, state)| format!("not at virtual payment: {id} {state:?}")));
        println!("{count} orders at virtual payment");
        found
    }

    async fn coins(&self) -> Vec<String> {
        let mut found = self
            .none(
                "a spend of coins and its order differ",
                "SELECT c.id || ' ' || c.state || ' ' || o.status
                 FROM coin_changes c JOIN orders o ON o.id = c.order_id
                 WHERE c.kind = 'spend' AND (c.state = 'done') <> (o.status = 'paid')",
            )
            .await;
        let given = self.journal.entries().coins.clone();
        for (open_id, given) in given {
            let spent: i64 = sqlx::query_scalar(
                "SELECT coalesce(CAST(sum(amount) AS BIGINT), 0) FROM coin_changes
                 WHERE open_id = $1 AND kind = 'spend' AND state = 'done'",
            )
            .bind(&open_id)
            .fetch_one(&self.rows)
            .await
            .unwrap();
            let path = format!("vpay/players/{open_id}/coins");
            let ledgers = self.world.wechat.list(&path, "ledgers").await;
            let balance: i64 = ledgers.iter().filter_map(|it| it["balance"].as_i64()).sum();
            if balance != given - spent {
                let ledgers = Value::Array(ledgers);
                found.push(format!("{given} coins, {spent} spent here: {ledgers}"));
            }
        }
        found
    }
}
