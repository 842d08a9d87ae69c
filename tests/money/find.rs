//! What a step concerns: the order of a name, a callback, a job that is due.

use avalon_core::base::ids::OrderId;
use avalon_core::payments::order_rows;
use avalon_queue::Leased;
use jiff::Timestamp;

use crate::run::{Run, pick};
use crate::script::Name;

impl Run<'_> {
    /// Returns the id of the order, once it is created.
    pub(crate) async fn order(&self, name: Name) -> Option<OrderId> {
        let user = self.players[usize::from(name.player)].0.to_string();
        sqlx::query_scalar("SELECT id FROM orders WHERE user_id = $1 AND idempotency_key = $2")
            .bind(user)
            .bind(name.key.to_string())
            .fetch_optional(self.shop.database.pool())
            .await
            .unwrap()
    }

    /// Returns the order request that was submitted to WeChat within the last minute.
    pub(crate) async fn recently_sent(&self, name: Name) -> Option<String> {
        let id = self.order(name).await?;
        let order = order_rows::by_id(&self.shop.database, id).await.unwrap()?;
        let age = Timestamp::now().as_millisecond() - order.submitted_at?;
        order.channel_request.filter(|_| age < 60_000)
    }

    pub(crate) async fn callback(&self, name: Name, nth: u8) -> Option<String> {
        let order = self.order(name).await?;
        let path = format!("callbacks?outTradeNo={order}");
        let mut callbacks = self.shop.wechat.list(&path, "callbacks").await;
        callbacks.retain(|callback| callback["forged"].is_null());
        let id = pick(&callbacks, nth)?["id"].as_str().unwrap();
        Some(id.to_owned())
    }

    /// Leases all due jobs and removes one of those not started.
    pub(crate) async fn job(&self, nth: u8) -> Option<Leased> {
        let more = self.shop.lease_jobs().await;
        let mut leased = self.leased.lock().unwrap();
        leased.extend(more);
        let index = usize::from(nth) % leased.len().max(1);
        leased.remove(index)
    }
}
