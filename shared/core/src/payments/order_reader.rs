//! Reads single orders: on Postgres, those that concurrent requests ask for in one statement.

use std::collections::HashMap;

use avalon_queue::{BatchWorker, Batches, Pace};

use super::PaymentError;
use super::order_rows::{self, Order, order_of};
use crate::base::ids::OrderId;
use crate::storage::config::Dialect;
use crate::storage::database::{Database, Session};

/// Statements at a time.
const SESSIONS: usize = 2;
/// Orders per statement.
const SIZE: usize = 64;

/// Reads single orders. Cheap to clone.
#[derive(Clone)]
pub struct OrderReader {
    database: Database,
    batches: Option<Batches<OrderId, Option<Order>>>,
}

impl OrderReader {
    /// Starts the reading tasks, which end with the last handle.
    pub fn spawn(database: &Database) -> Self {
        let workers = || (0..SESSIONS).map(|_| Reader(database.session()));
        Self {
            database: database.clone(),
            batches: (database.dialect() == Dialect::Postgres)
                .then(|| Batches::spawn(SIZE, Pace::Immediate, workers())),
        }
    }

    /// Reads an order.
    ///
    /// # Errors
    /// [`PaymentError::Database`].
    pub async fn by_id(&self, id: OrderId) -> Result<Option<Order>, PaymentError> {
        if let Some(batches) = &self.batches
            && let Ok(order) = batches.execute(id).await
        {
            return Ok(order);
        }
        order_rows::by_id(&self.database, id).await
    }
}

struct Reader(Session);

impl BatchWorker for Reader {
    type Request = OrderId;
    type Response = Option<Order>;

    async fn execute(&mut self, ids: Vec<OrderId>) -> Option<Vec<Option<Order>>> {
        let list = ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        let list = list.join(",");
        let read = self.0.run(async |connection| {
            sqlx::query(include_str!("sql/orders_by_ids.sql"))
                .bind(list)
                .fetch_all(connection)
                .await?
                .iter()
                .map(|row| order_of(row).map(|order| (order.id, order)))
                .collect::<Result<HashMap<_, _>, PaymentError>>()
        });
        let found = read
            .await
            .inspect_err(|error| tracing::debug!(%error, "reading orders failed"))
            .ok()?;
        // Two requests may ask for the same order.
        Some(ids.iter().map(|id| found.get(id).cloned()).collect())
    }
}
