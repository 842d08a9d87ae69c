//! Creates orders of different players in one transaction: the locks of the players, what decides about the orders, and the rows of
//! those that the rules admit.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use avalon_queue::BatchWorker;
use avalon_wechat::OpenId;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Connection, Row};
use ulid::Ulid;

use super::super::super::order_rows::order_of;
use super::super::super::products::product_of;
use super::super::super::status::Channel;
use super::super::super::{Cause, PaymentError};
use super::super::NewOrder;
use super::super::creation::Terms;
use super::super::holds::{self, Held};
use super::{Created, json, list};
use crate::base::fen::Fen;
use crate::base::ids::{OrderId, ProductId, UserId};
use crate::storage::database::Session;

/// A request for an order.
pub(super) struct Wish {
    /// Of the order, if it is created by this request.
    id: OrderId,
    new: NewOrder,
    at: Timestamp,
}

impl Wish {
    pub(super) fn new(new: &NewOrder, at: Timestamp) -> Self {
        Self {
            id: OrderId::new(),
            new: new.clone(),
            at,
        }
    }
}

pub(super) struct Writer(pub(super) Session);

impl BatchWorker for Writer {
    type Request = Arc<Wish>;
    type Response = Option<Created>;

    async fn execute(&mut self, wishes: Vec<Arc<Wish>>) -> Option<Vec<Option<Created>>> {
        // What a player holds is counted before: a second order of one player is created by itself.
        let mut seen = HashSet::with_capacity(wishes.len());
        let first: Vec<&Wish> = wishes
            .iter()
            .filter(|wish| seen.insert(wish.new.user_id))
            .map(Arc::as_ref)
            .collect();
        let created = self
            .0
            .run(async |connection| create(connection, &first).await);
        let mut created = created
            .await
            .inspect_err(|error| tracing::warn!(%error, orders = first.len(), "orders are created one by one"))
            .ok()?;
        Some(wishes.iter().map(|wish| created.remove(&wish.id)).collect())
    }
}

#[derive(Serialize)]
struct WishRow<'a> {
    order_id: OrderId,
    user_id: UserId,
    product_id: &'a ProductId,
}

#[derive(Serialize)]
struct OrderRow<'a> {
    order_id: OrderId,
    user_id: UserId,
    open_id: &'a OpenId,
    product_id: &'a ProductId,
    product_name: &'a str,
    quantity: i64,
    total_fee: Fen,
    channel: Channel,
    idempotency_key: &'a str,
    request_digest: &'a str,
    created_at: i64,
    expires_at: i64,
    next_check_at: i64,
    history_id: Ulid,
}

async fn create(
    connection: &mut AnyConnection,
    wishes: &[&Wish],
) -> Result<HashMap<OrderId, Created>, PaymentError> {
    let keys: BTreeSet<_> = wishes
        .iter()
        .map(|wish| holds::lock_key(wish.new.user_id))
        .collect();
    let rows: Vec<_> = wishes.iter().copied().map(wish_row).collect();
    let mut transaction = connection.begin().await?;
    // A statement of its own: what the next one reads must be from after the locks were granted.
    holds::lock_players(&mut transaction, &keys).await?;
    let admissible = sqlx::query(include_str!("../../sql/orders_admit.sql"))
        .bind(json(&rows)?)
        .bind(list(rows.iter().map(|row| row.user_id)))
        .fetch_all(&mut *transaction)
        .await?;
    let by_id: HashMap<OrderId, &Wish> = wishes.iter().map(|wish| (wish.id, *wish)).collect();
    let mut admitted = HashMap::with_capacity(admissible.len());
    for row in &admissible {
        let id: OrderId = row.try_get("order_id")?;
        if let Some(wish) = by_id.get(&id)
            && let Some(terms) = terms_of(row, &wish.new)?
        {
            admitted.insert(id, (*wish, terms));
        }
    }
    let rows: Vec<_> = admitted
        .values()
        .map(|(wish, terms)| order_row(wish, terms))
        .collect();
    if rows.is_empty() {
        // Not by dropping it: that rolls back only when the session is next used, and holds the locks until then.
        transaction.rollback().await?;
        return Ok(HashMap::new());
    }
    let orders = sqlx::query(include_str!("../../sql/orders_insert.sql"))
        .bind(json(&rows)?)
        .bind(Cause::Created.as_str())
        .fetch_all(&mut *transaction)
        .await?
        .iter()
        .map(order_of)
        .collect::<Result<Vec<_>, _>>()?;
    transaction.commit().await?;
    let created = orders.into_iter().filter_map(|order| {
        let (_, terms) = admitted.remove(&order.id)?;
        let product = terms.product;
        Some((order.id, Created { order, product }))
    });
    Ok(created.collect())
}

/// The terms of an order; none: the rules do not admit it, and are asked again for the reason.
fn terms_of(row: &AnyRow, new: &NewOrder) -> Result<Option<Terms>, PaymentError> {
    let held = Held {
        orders: row.try_get("pending")?,
        // Counts for products with stock only.
        pieces: 0,
    };
    let bought: i64 = row.try_get("bought")?;
    Ok(Terms::of(new, product_of(row)?, held, bought).ok())
}

fn wish_row(wish: &Wish) -> WishRow<'_> {
    WishRow {
        order_id: wish.id,
        user_id: wish.new.user_id,
        product_id: &wish.new.product_id,
    }
}

fn order_row<'a>(wish: &'a Wish, terms: &'a Terms) -> OrderRow<'a> {
    let Wish { id, new, at } = wish;
    OrderRow {
        order_id: *id,
        user_id: new.user_id,
        open_id: &new.open_id,
        product_id: &new.product_id,
        product_name: &terms.product.name,
        quantity: new.quantity,
        total_fee: terms.total,
        channel: new.channel,
        idempotency_key: &new.idempotency_key,
        request_digest: &new.request_digest,
        created_at: at.as_millisecond(),
        expires_at: terms.expires_at(*at),
        next_check_at: terms.first_check_at(*at),
        history_id: Ulid::generate(),
    }
}
