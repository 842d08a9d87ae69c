//! Writes what concurrent requests for orders need together with each other: the order itself, its request to the
//! channel, and the channel's offer. The common case only, by set-based statements; whatever is not that case is
//! left to the functions that write one order, which have all the rules. On SQLite, where a statement is no
//! round trip, these write all orders.

mod creations;
mod offers;
mod requests;

use std::sync::Arc;

use avalon_queue::{Batches, Pace};
use jiff::Timestamp;
use serde::Serialize;

use self::creations::Wish;
use self::offers::OfferRow;
use self::requests::RequestRow;
use super::super::PaymentError;
use super::super::order_rows::Order;
use super::super::products::Product;
use super::super::status::OrderStatus;
use super::NewOrder;
use crate::base::ids::OrderId;
use crate::storage::config::Dialect;
use crate::storage::database::Database;

/// Transactions that create orders at a time: one is prepared while the other is being committed.
const SESSIONS: usize = 2;
/// Orders per transaction.
const SIZE: usize = 64;

/// A new order, with the product as it was at that moment.
#[derive(Clone, Debug)]
pub struct Created {
    /// The order.
    pub order: Order,
    /// Its product.
    pub product: Product,
}

/// Writes orders in groups. Cheap to clone.
#[derive(Clone)]
pub struct OrderWriter {
    database: Database,
    batches: Option<OrderBatches>,
}

#[derive(Clone)]
struct OrderBatches {
    creations: Batches<Arc<Wish>, Option<Created>>,
    requests: Batches<RequestRow, Option<String>>,
    offers: Batches<OfferRow, Option<OrderStatus>>,
}

impl OrderWriter {
    /// Starts the writing tasks, which end with the last handle.
    pub fn spawn(database: &Database) -> Self {
        let spawn = || OrderBatches {
            creations: Batches::spawn(
                SIZE,
                Pace::Jobs,
                (0..SESSIONS).map(|_| creations::Writer(database.session())),
            ),
            requests: Batches::spawn(SIZE, Pace::Jobs, [requests::Writer(database.session())]),
            offers: Batches::spawn(SIZE, Pace::Jobs, [offers::Writer(database.session())]),
        };
        Self {
            database: database.clone(),
            batches: (database.dialect() == Dialect::Postgres).then(spawn),
        }
    }

    /// Creates an order for a player who is neither banned nor erased and has not used its key before, with its
    /// stock. `None`: nothing is known to have changed, and [`create`](super::create) must decide.
    pub async fn create(&self, new: &NewOrder, now: Timestamp) -> Option<Created> {
        let creations = &self.batches.as_ref()?.creations;
        creations
            .execute(Arc::new(Wish::new(new, now)))
            .await
            .ok()?
    }

    /// Stores the request to the channel like [`store_request`](super::store_request).
    ///
    /// # Errors
    /// [`PaymentError::Database`].
    pub async fn store_request(
        &self,
        id: OrderId,
        request: &str,
        now: Timestamp,
    ) -> Result<Option<String>, PaymentError> {
        if let Some(OrderBatches { requests, .. }) = &self.batches
            // A request of the sandbox is marked in another table.
            && !super::asks_sandbox(request)
            && let Ok(Some(stored)) = requests.execute(RequestRow::new(id, request, now)).await
        {
            return Ok(Some(stored));
        }
        super::store_request(&self.database, id, request, now).await
    }

    /// Stores the channel's offer like [`store_offer`](super::store_offer).
    ///
    /// # Errors
    /// [`PaymentError::UnknownOrder`] and [`PaymentError::Database`].
    pub async fn store_offer(
        &self,
        id: OrderId,
        offer: Option<&str>,
        now: Timestamp,
    ) -> Result<OrderStatus, PaymentError> {
        if let Some(OrderBatches { offers, .. }) = &self.batches
            && let Ok(Some(status)) = offers.execute(OfferRow::new(id, offer, now)).await
        {
            return Ok(status);
        }
        super::store_offer(&self.database, id, offer, now).await
    }
}

/// Ids as the statements read them.
fn list(ids: impl Iterator<Item = impl ToString>) -> String {
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(",")
}

fn json(rows: &impl Serialize) -> Result<String, PaymentError> {
    // Only texts and numbers: cannot fail.
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()).into())
}
