//! Records payments of concurrent callbacks in one transaction of two statements: the common case, a pending
//! order that holds its stock. [`pay`](super::pay) has the rules; whatever is not that case is left to it.

use std::collections::{HashMap, HashSet};

use avalon_queue::{BatchWorker, Batches, Pace};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::{AnyConnection, Connection};
use ulid::Ulid;

use super::super::fulfilments::Webhooks;
use super::super::order_rows::{Order, order_of};
use super::super::{CallbackOutcome, Cause, Channel, PaymentError, events};
use super::payment::Payment;
use super::webhook_body;
use crate::base::fen::Fen;
use crate::base::ids::{FulfilmentId, InboxId, OrderId};
use crate::storage::config::Dialect;
use crate::storage::database::{Database, Session};

/// Transactions at a time: one is prepared while the other is being committed.
const SESSIONS: usize = 2;
/// Payments per transaction.
const SIZE: usize = 64;

/// A payment that a callback reported under the channel's signature.
#[derive(Clone, Debug)]
pub struct ReportedPayment {
    /// The order that it pays.
    pub order: OrderId,
    /// The payment.
    pub payment: Payment,
    /// What reported it.
    pub cause: Cause,
    /// The callback, whose outcome is recorded with the payment.
    pub callback: Option<InboxId>,
}

/// Records payments in groups. Cheap to clone.
#[derive(Clone)]
pub struct PaymentWriter(Option<Batches<ReportedPayment, Option<Order>>>);

impl PaymentWriter {
    /// Starts the writing tasks, which end with the last handle. Without effect on SQLite, where a statement
    /// is no round trip.
    pub fn spawn(database: &Database, webhooks: Webhooks) -> Self {
        let worker = |_| Writer {
            session: database.session(),
            webhooks,
        };
        let batches = || Batches::spawn(SIZE, Pace::Jobs, (0..SESSIONS).map(worker));
        Self((database.dialect() == Dialect::Postgres).then(batches))
    }

    /// Records a payment of a pending order with all that follows, and the outcome `granted` of its callback,
    /// and returns the paid order. `None`: nothing is known to have changed, and [`pay`](super::pay) must
    /// decide.
    pub async fn pay(&self, payment: ReportedPayment) -> Option<Order> {
        self.0.as_ref()?.execute(payment).await.ok()?
    }
}

struct Writer {
    session: Session,
    webhooks: Webhooks,
}

impl BatchWorker for Writer {
    type Request = ReportedPayment;
    type Response = Option<Order>;

    async fn execute(&mut self, payments: Vec<ReportedPayment>) -> Option<Vec<Option<Order>>> {
        let webhooks = self.webhooks;
        let written = self
            .session
            .run(async |connection| write(connection, &payments, webhooks).await);
        match written.await {
            Ok(mut paid) => {
                let orders = payments.iter().map(|payment| paid.remove(&payment.order));
                Some(orders.collect())
            }
            Err(error) => {
                tracing::warn!(%error, payments = payments.len(), "payments are recorded one by one");
                None
            }
        }
    }
}

#[derive(Serialize)]
struct PaymentRow<'a> {
    order_id: OrderId,
    channel: Channel,
    transaction_id: Option<&'a str>,
    paid_at: i64,
    total: Fen,
}

#[derive(Serialize)]
struct GrantRow<'a> {
    order_id: OrderId,
    user_id: String,
    open_id: &'a str,
    product_id: &'a str,
    quantity: i64,
    source: String,
    cause: &'a str,
    history_id: Ulid,
    ledger_id: Ulid,
    event_id: String,
    event_name: &'a str,
    params: Value,
    webhook_id: Option<String>,
    webhook: Option<String>,
}

/// Records what can be recorded here; returns the paid orders.
async fn write(
    connection: &mut AnyConnection,
    payments: &[ReportedPayment],
    webhooks: Webhooks,
) -> Result<HashMap<OrderId, Order>, PaymentError> {
    // Two reports of one order: the second one is judged after the first.
    let mut seen = HashSet::with_capacity(payments.len());
    let payments: HashMap<OrderId, &ReportedPayment> = payments
        .iter()
        .filter(|payment| payment.payment.currency == "CNY" && seen.insert(payment.order))
        .map(|payment| (payment.order, payment))
        .collect();
    if payments.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<_> = payments.keys().map(ToString::to_string).collect();
    let rows = payments.values().map(|reported| PaymentRow {
        order_id: reported.order,
        channel: reported.payment.channel,
        transaction_id: reported.payment.transaction_id.as_deref(),
        paid_at: reported.payment.at.as_millisecond(),
        total: reported.payment.total,
    });
    let mut transaction = connection.begin().await?;
    let orders = sqlx::query(include_str!("../sql/orders_pay_pending.sql"))
        .bind(ids.join(","))
        .bind(json(&rows.collect::<Vec<_>>())?)
        .fetch_all(&mut *transaction)
        .await?
        .iter()
        .map(order_of)
        .collect::<Result<Vec<_>, _>>()?;
    if orders.is_empty() {
        // Not by dropping it: that rolls back only when the session is next used, and holds the rows until then.
        transaction.rollback().await?;
        return Ok(HashMap::new());
    }
    let now = Timestamp::now();
    let paid = orders
        .iter()
        .filter_map(|order| Some((order, *payments.get(&order.id)?)));
    let callbacks: Vec<_> = paid
        .clone()
        .filter_map(|(_, reported)| Some(reported.callback?.to_string()))
        .collect();
    let grants = paid.map(|(order, reported)| grant(order, reported, webhooks, now));
    let grants = json(&grants.collect::<Vec<_>>())?;
    sqlx::query(include_str!("../sql/orders_grant.sql"))
        .bind(grants)
        .bind(CallbackOutcome::Granted)
        .bind(now.as_millisecond())
        .bind(callbacks.join(","))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(orders.into_iter().map(|order| (order.id, order)).collect())
}

fn grant<'a>(
    order: &'a Order,
    reported: &ReportedPayment,
    webhooks: Webhooks,
    now: Timestamp,
) -> GrantRow<'a> {
    let event = events::paid(order);
    let webhook = match webhooks {
        Webhooks::Stored => Some(webhook_body(order, "order.paid", now)),
        Webhooks::Off => None,
    };
    GrantRow {
        order_id: order.id,
        user_id: order.user_id.to_string(),
        open_id: order.open_id.as_str(),
        product_id: order.product_id.as_str(),
        quantity: order.quantity,
        source: format!("order:{}", order.id),
        cause: reported.cause.into(),
        history_id: Ulid::generate(),
        ledger_id: Ulid::generate(),
        event_id: event.id,
        event_name: event.name,
        params: event.params,
        webhook_id: webhook.as_ref().map(|_| FulfilmentId::new().to_string()),
        webhook,
    }
}

fn json(rows: &impl Serialize) -> Result<String, PaymentError> {
    // Only texts and numbers: cannot fail.
    serde_json::to_string(rows)
        .map_err(|error| PaymentError::from(sqlx::Error::Encode(error.into())))
}
