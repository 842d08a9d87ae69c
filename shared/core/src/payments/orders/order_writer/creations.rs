//! Creates orders of different players in one transaction: the locks of the players, what decides about the orders, the rows of
//! those that the rules admit, and their stock.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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
use super::super::creation::{Terms, take_stock};
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
    let mut admitted = admit(wishes, &admissible)?;
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
    let ordered = orders.iter().filter_map(|order| admitted.get(&order.id));
    for (product, pieces) in stock_of(ordered) {
        if !take_stock(&mut transaction, product, pieces).await? {
            // Sold meanwhile: who still gets some is decided one by one.
            transaction.rollback().await?;
            return Ok(HashMap::new());
        }
    }
    transaction.commit().await?;
    let created = orders.into_iter().filter_map(|order| {
        let (_, terms) = admitted.remove(&order.id)?;
        let product = terms.product;
        Some((order.id, Created { order, product }))
    });
    Ok(created.collect())
}

type Admitted<'w> = HashMap<OrderId, (&'w Wish, Terms)>;

/// Applies the rules to one order after another: each finds the stock that those before have left. What they do not admit
/// is missing, and they are asked again for the reason.
fn admit<'w>(wishes: &[&'w Wish], rows: &[AnyRow]) -> Result<Admitted<'w>, PaymentError> {
    let mut by_id = HashMap::with_capacity(rows.len());
    for row in rows {
        by_id.insert(row.try_get::<OrderId, _>("order_id")?, row);
    }
    let mut taken: HashMap<&ProductId, i64> = HashMap::new();
    let mut admitted = HashMap::with_capacity(rows.len());
    for wish in wishes {
        let Some(row) = by_id.get(&wish.id) else {
            continue;
        };
        let held = Held {
            orders: row.try_get("pending")?,
            pieces: row.try_get("pieces")?,
        };
        let mut product = product_of(row)?;
        let taken = taken.entry(&wish.new.product_id).or_default();
        product.stock = product.stock.map(|stock| stock - *taken);
        if let Ok(terms) = Terms::of(&wish.new, product, held, row.try_get("bought")?) {
            *taken += wish.new.quantity;
            admitted.insert(wish.id, (*wish, terms));
        }
    }
    Ok(admitted)
}

/// The pieces that these orders take of each product with stock. In the order of the products, so that two
/// transactions do not deadlock.
fn stock_of<'a>(
    orders: impl Iterator<Item = &'a (&'a Wish, Terms)>,
) -> BTreeMap<&'a ProductId, i64> {
    let mut stock = BTreeMap::new();
    for (wish, _) in orders.filter(|(_, terms)| terms.product.stock.is_some()) {
        *stock.entry(&wish.new.product_id).or_default() += wish.new.quantity;
    }
    stock
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
