//! Stores the requests of several orders to their channels by one statement.

use std::collections::HashMap;

use avalon_queue::BatchWorker;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;

use super::super::super::PaymentError;
use super::{json, list};
use crate::base::ids::OrderId;
use crate::storage::database::Session;

/// A request, as `sql/orders_request.sql` reads it.
#[derive(Serialize)]
pub(super) struct RequestRow {
    order_id: OrderId,
    request: String,
    at: i64,
}

impl RequestRow {
    pub(super) fn new(order_id: OrderId, request: &str, now: Timestamp) -> Self {
        Self {
            order_id,
            request: request.to_owned(),
            at: now.as_millisecond(),
        }
    }
}

pub(super) struct Writer(pub(super) Session);

impl BatchWorker for Writer {
    type Request = RequestRow;
    /// The request that was stored first; none: the order is not pending.
    type Response = Option<String>;

    async fn execute(&mut self, rows: Vec<RequestRow>) -> Option<Vec<Option<String>>> {
        let stored = self.0.run(async |connection| {
            sqlx::query(include_str!("../../sql/orders_request.sql"))
                .bind(list(rows.iter().map(|row| row.order_id)))
                .bind(json(&rows)?)
                .fetch_all(connection)
                .await?
                .iter()
                .map(|row| Ok((row.try_get("id")?, row.try_get("channel_request")?)))
                .collect::<Result<HashMap<OrderId, String>, PaymentError>>()
        });
        let stored = stored
            .await
            .inspect_err(|error| tracing::warn!(%error, orders = rows.len(), "requests are stored one by one"))
            .ok()?;
        // Two attempts of a job may ask for the same order.
        Some(
            rows.iter()
                .map(|row| stored.get(&row.order_id).cloned())
                .collect(),
        )
    }
}
