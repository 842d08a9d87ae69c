//! Stores the offers of channels for several orders by one statement.

use std::collections::HashMap;

use avalon_queue::BatchWorker;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;

use super::super::super::PaymentError;
use super::super::super::status::OrderStatus;
use super::{json, list};
use crate::base::ids::OrderId;
use crate::storage::database::Session;

/// An offer, as `sql/orders_offer.sql` reads it.
#[derive(Serialize)]
pub(super) struct OfferRow {
    order_id: OrderId,
    reference: Option<String>,
    at: i64,
}

impl OfferRow {
    pub(super) fn new(order_id: OrderId, reference: Option<&str>, now: Timestamp) -> Self {
        Self {
            order_id,
            reference: reference.map(str::to_owned),
            at: now.as_millisecond(),
        }
    }
}

pub(super) struct Writer(pub(super) Session);

impl BatchWorker for Writer {
    type Request = OfferRow;
    /// The order's state; none: there is no such order.
    type Response = Option<OrderStatus>;

    async fn execute(&mut self, rows: Vec<OfferRow>) -> Option<Vec<Option<OrderStatus>>> {
        let stored = self.0.run(async |connection| {
            sqlx::query(include_str!("../../sql/orders_offer.sql"))
                .bind(list(rows.iter().map(|row| row.order_id)))
                .bind(json(&rows)?)
                .fetch_all(connection)
                .await?
                .iter()
                .map(|row| Ok((row.try_get("id")?, row.try_get("status")?)))
                .collect::<Result<HashMap<OrderId, OrderStatus>, PaymentError>>()
        });
        let stored = stored
            .await
            .inspect_err(
                |error| tracing::warn!(%error, orders = rows.len(), "offers are stored one by one"),
            )
            .ok()?;
        // Two attempts of a job may have offered the same order.
        Some(
            rows.iter()
                .map(|row| stored.get(&row.order_id).copied())
                .collect(),
        )
    }
}
