//! The end of a run: no faults, time passes, workers do not crash, until nothing is left to do.

use std::time::Duration;

use avalon_queue::JobState;
use reqwest::Method;
use serde_json::json;

use crate::manual_worker::sweep;
use crate::run::Run;
use crate::script::Conditions;

/// Rounds of forty minutes within which everything must settle.
const MAX_ROUNDS: usize = 30;

impl Run<'_> {
    /// Clears all faults and advances time until nothing is found to do.
    pub(crate) async fn settle(&self) {
        let healthy = Conditions {
            wechat: "{}",
            flaky_queue: false,
            game_server_refuses: false,
        };
        self.set_conditions(&healthy).await;
        if !self.script.lose_callbacks {
            let all = json!({});
            self.shop
                .wechat
                .must(Method::POST, "pay/callbacks/release", all)
                .await;
        }
        let not_started = std::mem::take(&mut *self.leased.lock().unwrap());
        for leased in not_started {
            self.shop.run_leased(&self.handlers, leased).await;
        }
        self.return_customers().await;
        for round in 0..MAX_ROUNDS {
            if round > 2 {
                // The circuit of an API that had failed closes in real time.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            // Refunds that WeChat accepted succeed, including stuck ones that an operator resolves.
            for refund in self.shop.wechat.list("refunds", "refunds").await {
                if !matches!(refund["status"].as_str(), Some("SUCCESS" | "CLOSED")) {
                    self.finish(&refund, "SUCCESS").await;
                }
            }
            self.advance(Duration::from_secs(2400)).await;
            self.deliver_pushes().await;
            self.shop.run_job(&self.handlers, sweep()).await;
            self.decide_unsettled().await;
            if self.unfinished().await.is_empty() {
                return;
            }
        }
        let dead = self.shop.jobs(JobState::Dead).await;
        panic!("unfinished: {:?}, dead: {dead:?}", self.unfinished().await);
    }

    /// Lists unfinished jobs, orders, refunds, callbacks and webhooks.
    async fn unfinished(&self) -> Vec<String> {
        let mut found = Vec::new();
        for state in [JobState::Queued, JobState::Retrying, JobState::Running] {
            found.extend(
                self.shop
                    .jobs(state)
                    .await
                    .iter()
                    .map(|job| format!("{job:?}")),
            );
        }
        for (what, sql) in [
            (
                "order",
                "SELECT id FROM orders WHERE status = 'pending' OR next_check_at IS NOT NULL",
            ),
            (
                "refund",
                "SELECT id FROM refunds WHERE ended_at IS NULL OR next_check_at IS NOT NULL",
            ),
            ("callback", "SELECT id FROM inbox WHERE outcome IS NULL"),
            (
                "webhook",
                "SELECT id FROM fulfilments WHERE delivered_at IS NULL",
            ),
            ("push", "SELECT id FROM pushes WHERE outcome IS NULL"),
            (
                "change of coins",
                "SELECT id FROM coin_changes
                 WHERE state = 'unsettled' OR (state = 'pending' AND key_version IS NULL)",
            ),
            (
                "refund at the channel",
                "SELECT channel_refunds.id FROM channel_refunds JOIN orders
                     ON orders.id = channel_refunds.out_trade_no
                     OR orders.transaction_id = channel_refunds.transaction_id
                 WHERE channel_refunds.order_id IS NULL AND orders.paid_at IS NOT NULL",
            ),
        ] {
            let ids: Vec<String> = sqlx::query_scalar(sql)
                .fetch_all(self.shop.database.pool())
                .await
                .unwrap();
            found.extend(ids.iter().map(|id| format!("{what} {id}")));
        }
        found.extend(self.unfinished_virtually().await);
        found
    }
}
