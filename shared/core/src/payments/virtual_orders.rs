//! Orders of virtual payment: those that begin in WeChat's store, and those that wait for their player, since
//! a query needs the player's live session key.

use avalon_wechat::OpenId;
use jiff::Timestamp;
use sqlx::{AnyConnection, Row};

use super::order_rows::{self, Order};
use super::products::Product;
use super::status::Channel;
use super::virtual_request::VirtualRequest;
use super::{PaymentError, orders};
use crate::base::fen::Fen;
use crate::base::ids::{OrderId, UserId};
use crate::storage::database::Database;

/// A purchase in the store outside the game, as the delivery push reports it.
#[derive(Clone, Debug)]
pub struct StorePurchase {
    /// WeChat's number of the order.
    pub out_trade_no: String,
    /// The player, who may never have signed in.
    pub open_id: OpenId,
    /// What was bought.
    pub product: Product,
    /// Number of pieces.
    pub quantity: i64,
    /// What was paid.
    pub total: Fen,
    /// What is stored as the order's request.
    pub request: VirtualRequest,
}

/// Finds an order by its number at WeChat: ours, or that of the store.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn by_number(
    database: &Database,
    out_trade_no: &str,
) -> Result<Option<Order>, PaymentError> {
    if let Ok(id) = out_trade_no.parse::<OrderId>()
        && let Some(order) = order_rows::by_id(database, id).await?
    {
        return Ok(Some(order).filter(|order| order.channel == Channel::VirtualPayment));
    }
    let id: Option<OrderId> =
        sqlx::query_scalar("SELECT order_id FROM store_orders WHERE out_trade_no = $1")
            .bind(out_trade_no)
            .fetch_optional(database.pool())
            .await?;
    match id {
        Some(id) => order_rows::by_id(database, id).await,
        None => Ok(None),
    }
}

/// Creates the order of a purchase in the store, or finds it. A player who never signed in gets a row, and with
/// it the items at the first sign-in.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn create_store_order(
    database: &Database,
    purchase: &StorePurchase,
    now: Timestamp,
) -> Result<Order, PaymentError> {
    // When two deliveries collide, the second insert does nothing and the next round finds the first one's.
    loop {
        if let Some(order) = by_number(database, &purchase.out_trade_no).await? {
            return Ok(order);
        }
        if let Some(id) = insert(database, purchase, now).await? {
            let order = order_rows::by_id(database, id).await?;
            return order.ok_or(PaymentError::UnknownOrder);
        }
    }
}

async fn insert(
    database: &Database,
    purchase: &StorePurchase,
    now: Timestamp,
) -> Result<Option<OrderId>, PaymentError> {
    let mut transaction = database.begin().await?;
    let user = player(&mut transaction, &purchase.open_id, now).await?;
    let now_ms = now.as_millisecond();
    let row = sqlx::query(include_str!("sql/order_insert.sql"))
        .bind(OrderId::new())
        .bind(user)
        .bind(purchase.open_id.as_str())
        .bind(&purchase.product.product_id)
        .bind(&purchase.product.name)
        .bind(purchase.quantity)
        .bind(purchase.total)
        .bind(Channel::VirtualPayment)
        // No client can send it: an `Idempotency-Key` has no spaces.
        .bind(format!("store {}", purchase.out_trade_no))
        .bind("store")
        .bind(now_ms)
        .bind(now_ms)
        .bind(now_ms)
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let order = order_rows::order_of(&row)?;
    // It is never queried: WeChat reports it when it is paid.
    sqlx::query(
        "UPDATE orders SET channel_request = $1, submitted_at = $2, next_check_at = NULL
         WHERE id = $3",
    )
    .bind(purchase.request.to_text())
    .bind(now_ms)
    .bind(order.id)
    .execute(&mut *transaction)
    .await?;
    if purchase.request.is_sandbox() {
        mark_sandbox(&mut transaction, order.id).await?;
    }
    sqlx::query("INSERT INTO store_orders (out_trade_no, order_id) VALUES ($1, $2)")
        .bind(&purchase.out_trade_no)
        .bind(order.id)
        .execute(&mut *transaction)
        .await?;
    orders::record(
        &mut transaction,
        order.id,
        order.status,
        super::Cause::Created,
        now,
    )
    .await?;
    orders::move_stock(&mut transaction, &order, -1).await?;
    transaction.commit().await?;
    Ok(Some(order.id))
}

/// Lists an order among those with test money, in the transaction that stores its request: sums leave them out.
pub(super) async fn mark_sandbox(
    connection: &mut AnyConnection,
    order: OrderId,
) -> Result<(), PaymentError> {
    sqlx::query(
        "INSERT INTO sandbox_orders (order_id) VALUES ($1) ON CONFLICT (order_id) DO NOTHING",
    )
    .bind(order)
    .execute(connection)
    .await?;
    Ok(())
}

/// Finds the row of a player, or creates one that has never signed in (`last_login_at` 0).
async fn player(
    connection: &mut AnyConnection,
    open_id: &OpenId,
    now: Timestamp,
) -> Result<UserId, PaymentError> {
    sqlx::query(
        "INSERT INTO users (id, open_id, created_at, updated_at, last_login_at)
         VALUES ($1, $2, $3, $3, 0) ON CONFLICT (open_id) DO NOTHING",
    )
    .bind(UserId::new())
    .bind(open_id.as_str())
    .bind(now.as_millisecond())
    .execute(&mut *connection)
    .await?;
    Ok(
        sqlx::query_scalar("SELECT id FROM users WHERE open_id = $1")
            .bind(open_id.as_str())
            .fetch_one(connection)
            .await?,
    )
}

/// Has an order wait for its player: WeChat refused this version of the session key (0: there was none). Until
/// a newer one is stored it is not queried; if it is pending, it is looked at once more when it expires.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn await_sign_in(
    database: &Database,
    order: &Order,
    key_version: i64,
    now: Timestamp,
) -> Result<(), PaymentError> {
    let mut transaction = database.begin().await?;
    let updated = sqlx::query(
        "UPDATE orders SET checks = checks + 1,
                next_check_at = CASE WHEN status = 'pending' AND expires_at > $1 THEN expires_at END
         WHERE id = $2 AND status IN ('pending', 'closed', 'failed')",
    )
    .bind(now.as_millisecond())
    .bind(order.id)
    .execute(&mut *transaction)
    .await?;
    if updated.rows_affected() == 0 {
        return Ok(());
    }
    // Changes nothing, but a sign-in at this moment waits for it, and then finds the order waiting.
    let current: Option<i64> = sqlx::query_scalar(
        "UPDATE users SET session_key_version = session_key_version WHERE id = $1
         RETURNING session_key_version",
    )
    .bind(order.user_id)
    .fetch_optional(&mut *transaction)
    .await?;
    if current.is_some_and(|current| current > key_version) {
        sqlx::query("UPDATE orders SET next_check_at = $1 WHERE id = $2")
            .bind(now.as_millisecond())
            .bind(order.id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO orders_awaiting_sign_in (order_id, user_id, key_version, since)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (order_id) DO UPDATE SET key_version = excluded.key_version",
    )
    .bind(order.id)
    .bind(order.user_id)
    .bind(key_version)
    .bind(now.as_millisecond())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// Returns the newest version of a player's session key that WeChat refused, as far as orders wait for it.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn refused_key(database: &Database, user: UserId) -> Result<Option<i64>, PaymentError> {
    Ok(sqlx::query_scalar(
        "SELECT max(key_version) FROM (
             SELECT key_version FROM orders_awaiting_sign_in WHERE user_id = $1
             UNION ALL
             SELECT key_version FROM coin_changes WHERE user_id = $1 AND key_version IS NOT NULL
         ) AS refused",
    )
    .bind(user)
    .fetch_one(database.pool())
    .await?)
}

/// An order whose query is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueQuery {
    /// The order.
    pub order_id: OrderId,
    /// Number of the query.
    pub check: i64,
}

/// Makes the queries due that waited for this player, who has signed in. If their jobs are lost, the sweeper
/// enqueues them.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn resume(
    database: &Database,
    user: UserId,
    now: Timestamp,
) -> Result<Vec<DueQuery>, PaymentError> {
    let waiting: Option<i64> = sqlx::query_scalar(
        "SELECT CAST(1 AS BIGINT) FROM orders_awaiting_sign_in WHERE user_id = $1 LIMIT 1",
    )
    .bind(user)
    .fetch_optional(database.pool())
    .await?;
    // The common case: nothing is written for it.
    if waiting.is_none() {
        return Ok(Vec::new());
    }
    let mut transaction = database.begin().await?;
    let orders: Vec<OrderId> = sqlx::query_scalar(
        "SELECT order_id FROM orders_awaiting_sign_in WHERE user_id = $1 ORDER BY order_id",
    )
    .bind(user)
    .fetch_all(&mut *transaction)
    .await?;
    let mut due = Vec::with_capacity(orders.len());
    for order_id in orders {
        let row = sqlx::query(
            "UPDATE orders SET next_check_at = $1
             WHERE id = $2 AND status IN ('pending', 'closed', 'failed') RETURNING checks",
        )
        .bind(now.as_millisecond())
        .bind(order_id)
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(row) = row {
            let check = order_rows::integer(&row, "checks")?;
            due.push(DueQuery { order_id, check });
        }
    }
    sqlx::query("DELETE FROM orders_awaiting_sign_in WHERE user_id = $1")
        .bind(user)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(due)
}

/// Orders that wait for their players.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Number of orders.
    pub orders: i64,
    /// When the oldest one began to wait, Unix ms.
    pub oldest: Option<i64>,
}

/// Counts the orders that wait for their players.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn waiting(database: &Database) -> Result<Waiting, PaymentError> {
    let row =
        sqlx::query("SELECT count(*) AS orders, min(since) AS oldest FROM orders_awaiting_sign_in")
            .fetch_one(database.pool())
            .await?;
    Ok(Waiting {
        orders: row.try_get("orders")?,
        oldest: row.try_get("oldest")?,
    })
}
