//! What settles at the end of a run: players return or do not, pushes arrive or are lost, operators decide.

use avalon_core::base::ids::UserId;
use avalon_queue::JobState;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row;

use super::customers::Customer;
use crate::run::Run;

impl Run<'_> {
    /// Has the players sign in who come back. One sign-in is enough for all that waited for it.
    pub(crate) async fn return_customers(&self) {
        for (number, customer) in self.all_customers().iter().enumerate() {
            if self.is_absent(number) {
                continue;
            }
            let login = customer.sign_in(self.shop).await;
            let signed_in = self.shop.run_job(&self.handlers, login).await;
            assert_eq!(signed_in.state, JobState::Succeeded, "{signed_in:?}");
        }
    }

    fn all_customers(&self) -> &[Customer] {
        self.customers.as_ref().map_or(&[], |them| &them.all)
    }

    /// Whether this customer does not sign in at the end.
    pub(super) fn is_absent(&self, number: usize) -> bool {
        self.script.virtual_payment.is_some_and(|them| them[number])
    }

    /// Sends what was not accepted yet, as WeChat does for a day, except for pushes that are lost.
    pub(crate) async fn deliver_pushes(&self) {
        if self.customers.is_none() {
            return;
        }
        for push in self.undelivered().await {
            let path = format!("vpay/pushes/{}/repeat", push["id"]);
            self.shop.wechat.must(Method::POST, &path, json!({})).await;
        }
    }

    async fn undelivered(&self) -> Vec<Value> {
        let mut pushes = self.pushes().await;
        pushes.retain(|push| push["status"] != "accepted" && !self.is_lost(push));
        pushes
    }

    /// Whether the push is lost: only one of a payment that a query finds.
    fn is_lost(&self, push: &Value) -> bool {
        let order = push["outTradeNo"].as_str().unwrap_or_default();
        let findable = self.everybody().findable.lock().unwrap();
        self.script.lose_callbacks
            && push["event"] != "minigame_pay_refund_succ_notify"
            && findable.contains(order)
    }

    /// Decides what is unsettled as an operator does, who looks the number up in WeChat's console.
    pub(crate) async fn decide_unsettled(&self) {
        if self.customers.is_none() {
            return;
        }
        let unsettled =
            sqlx::query("SELECT id, open_id FROM coin_changes WHERE state = 'unsettled'")
                .fetch_all(self.shop.database.pool())
                .await
                .unwrap();
        for row in unsettled {
            let (id, open_id): (String, String) = (row.get("id"), row.get("open_id"));
            let bills = self.bills(&open_id).await;
            let applied = bills.iter().any(|bill| bill["billNo"] == id.as_str());
            let path = format!("/admin/coins/{id}/settle");
            let body = json!({"applied": applied, "reason": "seen in the console"});
            let request = self.shop.app.admin(Method::POST, &path).json(&body);
            let response = avalon_tests::send(request).await;
            assert_eq!(response.status, 200, "{response:?}");
            *self.everybody().decided.lock().unwrap() += 1;
        }
    }

    /// The numbers of a player's changes of coins that WeChat has applied.
    pub(super) async fn bills(&self, open_id: &str) -> Vec<Value> {
        let path = format!("vpay/players/{open_id}/bills");
        self.shop.wechat.list_of(&path, "bills").await
    }

    /// Lists what waits for players who have returned, and pushes that were not accepted.
    pub(crate) async fn unfinished_virtually(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.customers.is_none() {
            return found;
        }
        let pushes = self.undelivered().await;
        found.extend(pushes.iter().map(|push| format!("push {push}")));
        for (number, customer) in self.all_customers().iter().enumerate() {
            let user = self.shop.user(&customer.open_id).await;
            if let (Some(user), false) = (user, self.is_absent(number)) {
                let waiting = self.waiting_for(user).await;
                found.extend(
                    waiting
                        .iter()
                        .map(|id| format!("waits for a sign-in: {id}")),
                );
            }
        }
        found
    }

    /// The orders and changes of coins that wait for a player's sign-in.
    pub(super) async fn waiting_for(&self, user: UserId) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT order_id FROM orders_awaiting_sign_in
             JOIN orders ON orders.id = orders_awaiting_sign_in.order_id
             WHERE orders_awaiting_sign_in.user_id = $1 AND orders.paid_at IS NULL
             UNION ALL
             SELECT id FROM coin_changes WHERE user_id = $1 AND key_version IS NOT NULL",
        )
        .bind(user)
        .fetch_all(self.shop.database.pool())
        .await
        .unwrap()
    }
}
