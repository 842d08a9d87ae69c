//! The changes of an order. Each is one transaction whose first statement takes the row it is about,
//! so that two at once go one after the other, and whose repeat changes nothing.

use std::time::Duration;

use avalon_wechat::pay::Fen;
use jiff::Timestamp;
use sqlx::{AnyConnection, Row};
use ulid::Ulid;

use super::order_rows::{self, Order, order_of};
use super::products::product_of;
use super::refunds::{self, NewRefund, Refund};
use super::status::{Channel, OrderStatus};
use super::{PaymentError, events, inventory};
use crate::analytics::outbox;
use crate::base::ids::UserId;
use crate::storage::database::Database;

/// What a player wants to buy.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// The player.
    pub user_id: UserId,
    /// WeChat's id of the player.
    pub open_id: String,
    /// What.
    pub product_id: String,
    /// How many.
    pub quantity: i64,
    /// Through what it is to be paid.
    pub channel: Channel,
    /// The same key of the same player gives the same order.
    pub idempotency_key: String,
    /// Of the request: the same key with another digest is refused.
    pub request_digest: String,
    /// How long it can be paid.
    pub ttl: Duration,
    /// When the channel is first asked whether it was paid.
    pub first_check: Duration,
}

/// Makes an order at the price of now, reserving stock; or finds the one that the same key made.
///
/// # Errors
/// [`PaymentError::UnknownProduct`], [`PaymentError::OutOfStock`], [`PaymentError::LimitReached`],
/// [`PaymentError::KeyReused`], [`PaymentError::Amount`] and [`PaymentError::Database`].
pub async fn create(
    database: &Database,
    new: &NewOrder,
    now: Timestamp,
) -> Result<Order, PaymentError> {
    // Two at once with one key: the second insert finds the first, and the second round its row.
    loop {
        if let Some(order) = create_once(database, new, now).await? {
            return Ok(order);
        }
    }
}

async fn create_once(
    database: &Database,
    new: &NewOrder,
    now: Timestamp,
) -> Result<Option<Order>, PaymentError> {
    let mut transaction = database.begin().await?;
    if let Some(order) = by_key(&mut transaction, new).await? {
        return Ok(Some(order));
    }
    // Takes the product's row: orders of one product are made one after the other, which is what
    // makes the count of a player's purchases true.
    let row = sqlx::query(
        "UPDATE products SET stock = stock - $1
         WHERE id = $2 AND active = 1 AND (stock IS NULL OR stock >= $1) RETURNING *",
    )
    .bind(new.quantity)
    .bind(&new.product_id)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else {
        return Err(why_not(&mut transaction, &new.product_id).await?);
    };
    let product = product_of(&row)?;
    let bought: i64 = sqlx::query_scalar(
        "SELECT CAST(coalesce(sum(quantity), 0) AS BIGINT) FROM orders
         WHERE user_id = $1 AND product_id = $2 AND status IN ('pending', 'paid', 'refunding')",
    )
    .bind(new.user_id.to_string())
    .bind(&new.product_id)
    .fetch_one(&mut *transaction)
    .await?;
    if product
        .limit_per_user
        .is_some_and(|limit| bought.saturating_add(new.quantity) > limit)
    {
        return Err(PaymentError::LimitReached);
    }
    let pieces = u32::try_from(new.quantity).map_err(|_| PaymentError::Amount)?;
    let total = product
        .price
        .checked_mul(pieces)
        .ok_or(PaymentError::Amount)?;
    let (now_ms, after) = (now.as_millisecond(), |wait: Duration| {
        now.as_millisecond()
            .saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
    });
    let row = sqlx::query(
        "INSERT INTO orders (id, user_id, open_id, product_id, product_name, quantity, total_fee,
                             channel, status, idempotency_key, request_digest, holds_stock,
                             created_at, expires_at, next_check_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', $9, $10, 1, $11, $12, $13)
         ON CONFLICT (user_id, idempotency_key) DO NOTHING RETURNING *",
    )
    .bind(Ulid::generate().to_string())
    .bind(new.user_id.to_string())
    .bind(&new.open_id)
    .bind(&new.product_id)
    .bind(&product.name)
    .bind(new.quantity)
    .bind(total.get())
    .bind(new.channel.as_str())
    .bind(&new.idempotency_key)
    .bind(&new.request_digest)
    .bind(now_ms)
    .bind(after(new.ttl))
    .bind(after(new.first_check))
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let order = order_of(&row)?;
    note(
        &mut transaction,
        &order.id,
        OrderStatus::Pending,
        "created",
        now,
    )
    .await?;
    transaction.commit().await?;
    Ok(Some(order))
}

async fn by_key(
    connection: &mut AnyConnection,
    new: &NewOrder,
) -> Result<Option<Order>, PaymentError> {
    let row = sqlx::query("SELECT * FROM orders WHERE user_id = $1 AND idempotency_key = $2")
        .bind(new.user_id.to_string())
        .bind(&new.idempotency_key)
        .fetch_optional(connection)
        .await?;
    match row.map(|row| order_of(&row)).transpose()? {
        Some(order) if order.request_digest != new.request_digest => Err(PaymentError::KeyReused),
        order => Ok(order),
    }
}

async fn why_not(
    connection: &mut AnyConnection,
    product: &str,
) -> Result<PaymentError, PaymentError> {
    let there: Option<i64> =
        sqlx::query_scalar("SELECT CAST(1 AS BIGINT) FROM products WHERE id = $1 AND active = 1")
            .bind(product)
            .fetch_optional(connection)
            .await?;
    Ok(there.map_or(PaymentError::UnknownProduct, |_| PaymentError::OutOfStock))
}

/// Keeps what will be sent to the channel, before it is sent first; answers what was kept first.
/// `None` when the order has ended meanwhile: it must not be sent any more.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn keep_request(
    database: &Database,
    id: &str,
    request: &str,
    now: Timestamp,
) -> Result<Option<String>, PaymentError> {
    Ok(sqlx::query_scalar(
        "UPDATE orders SET channel_request = coalesce(channel_request, $1),
                           submitted_at = coalesce(submitted_at, $2)
         WHERE id = $3 AND status = 'pending' RETURNING channel_request",
    )
    .bind(request)
    .bind(now.as_millisecond())
    .bind(id)
    .fetch_optional(database.pool())
    .await?)
}

/// Keeps the channel's offer to pay; answers the order as it stands now, which may have ended
/// meanwhile.
///
/// # Errors
/// [`PaymentError::UnknownOrder`] and [`PaymentError::Database`].
pub async fn prepaid(
    database: &Database,
    id: &str,
    prepay_id: &str,
    now: Timestamp,
) -> Result<Order, PaymentError> {
    let row =
        sqlx::query("UPDATE orders SET prepay_id = $1, prepaid_at = $2 WHERE id = $3 RETURNING *")
            .bind(prepay_id)
            .bind(now.as_millisecond())
            .bind(id)
            .fetch_optional(database.pool())
            .await?;
    order_of(&row.ok_or(PaymentError::UnknownOrder)?)
}

/// A payment, as the channel has told under its signature.
#[derive(Clone, Debug)]
pub struct Payment {
    /// The channel's number of it.
    pub transaction_id: String,
    /// What was to be paid, coupons included.
    pub total: Fen,
    /// Must be `CNY`.
    pub currency: String,
    /// When.
    pub at: Timestamp,
}

/// What telling of a payment did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paid {
    /// The order is paid now, and its goods granted; with the refund that was decided with it.
    Now(Order, Option<Refund>),
    /// It was paid before.
    Before(Order),
    /// Another sum, currency or transaction than the order's, or one that was refunded there:
    /// nothing was granted.
    Mismatch(Order),
    /// There is no such order.
    Unknown,
}

/// The order was paid: grants its goods, once, whatever we thought of it before. With
/// `pay_back_late`, the payment of an order that was closed is paid back: that is decided in the same
/// transaction, which takes the goods again, so that no crash comes between the two and nobody uses them
/// up meanwhile. The game server hears nothing of such a payment, unless it can't go back.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn pay(
    database: &Database,
    id: &str,
    payment: &Payment,
    cause: &str,
    pay_back_late: bool,
    now: Timestamp,
) -> Result<Paid, PaymentError> {
    let mut transaction = database.begin().await?;
    let row = sqlx::query(
        "UPDATE orders SET status = 'paid', transaction_id = $1, paid_at = $2, ended_at = NULL,
                           next_check_at = NULL
         WHERE id = $3 AND status IN ('pending', 'closed', 'failed') AND total_fee = $4
           AND $5 = 'CNY' AND transaction_id IS NULL
         RETURNING *",
    )
    .bind(&payment.transaction_id)
    .bind(payment.at.as_millisecond())
    .bind(id)
    .bind(payment.total.get())
    .bind(&payment.currency)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else {
        return Ok(match order_rows::find(&mut transaction, id).await? {
            None => Paid::Unknown,
            Some(order) if order.status.was_paid() && same_payment(&order, payment) => {
                Paid::Before(order)
            }
            Some(order) => Paid::Mismatch(order),
        });
    };
    let mut order = order_of(&row)?;
    // Only an order that ended has let go of its stock, and only one that failed has a failure.
    let was_closed = !order.holds_stock && order.failure.is_none();
    if !order.holds_stock {
        // Its stock was released before the money came. The player's money counts for more than
        // our count, which may go below zero.
        move_stock(&mut transaction, &order, -1).await?;
        sqlx::query("UPDATE orders SET holds_stock = 1 WHERE id = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
    }
    let source = format!("order:{id}");
    let (user, product) = (order.user_id, &order.product_id);
    inventory::grant(
        &mut transaction,
        user,
        product,
        order.quantity,
        &source,
        now,
    )
    .await?;
    note(&mut transaction, id, OrderStatus::Paid, cause, now).await?;
    outbox::insert(&mut transaction, &events::paid(&order), now).await?;
    let mut refund = None;
    if !was_closed || !pay_back_late {
        tell(&mut transaction, &order, "order.paid", &source, now).await?;
    } else {
        let new = NewRefund::of_late_payment(id);
        // A moment later, so that the order's life reads in its order.
        let then = now.checked_add(Duration::from_millis(1)).unwrap_or(now);
        let decided = refunds::decide(&mut transaction, &order, &new, then).await?;
        order.status = OrderStatus::Refunding;
        refund = Some(decided);
    }
    transaction.commit().await?;
    Ok(Paid::Now(order, refund))
}

/// The order was paid and refunded before we heard of its payment: by somebody in the channel's portal,
/// or before this database was restored. It ends without goods, and keeps the payment's number: older
/// words of that payment grant nothing. Answers the order as it was; none when it was known as paid.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn refunded_there(
    database: &Database,
    id: &str,
    transaction_id: &str,
    now: Timestamp,
) -> Result<Option<Order>, PaymentError> {
    let mut transaction = database.begin().await?;
    let row = sqlx::query("UPDATE orders SET checks = checks WHERE id = $1 RETURNING *")
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await?;
    let order = row.map(|row| order_of(&row)).transpose()?;
    let Some(order) = order.filter(|order| !order.status.was_paid()) else {
        return Ok(None);
    };
    sqlx::query(
        "UPDATE orders SET status = CASE status WHEN 'pending' THEN 'closed' ELSE status END,
                           transaction_id = coalesce(transaction_id, $1), holds_stock = 0,
                           ended_at = coalesce(ended_at, $2), next_check_at = NULL
         WHERE id = $3",
    )
    .bind(transaction_id)
    .bind(now.as_millisecond())
    .bind(id)
    .execute(&mut *transaction)
    .await?;
    if order.holds_stock {
        move_stock(&mut transaction, &order, 1).await?;
    }
    if order.status == OrderStatus::Pending {
        let cause = "refunded at WeChat";
        note(&mut transaction, id, OrderStatus::Closed, cause, now).await?;
    }
    transaction.commit().await?;
    Ok(Some(order))
}

fn same_payment(order: &Order, payment: &Payment) -> bool {
    order.total_fee == payment.total
        && payment.currency == "CNY"
        && order.transaction_id.as_deref() == Some(&payment.transaction_id)
}

/// The order ends unpaid (`closed` or `failed`): releases its stock. `None` when it was not pending.
/// At `last_look` the channel is asked once more, if the order was ever sent to it; none: the channel
/// itself has said that nobody can pay it any more.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn end_unpaid(
    database: &Database,
    id: &str,
    to: OrderStatus,
    cause: &str,
    last_look: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Order>, PaymentError> {
    debug_assert!(OrderStatus::Pending.may_become(to) && !to.was_paid());
    let mut transaction = database.begin().await?;
    let row = sqlx::query(
        "UPDATE orders SET status = $1, failure = $2, ended_at = $3, holds_stock = 0,
                           next_check_at = CASE WHEN submitted_at IS NULL THEN NULL
                                           ELSE CAST($4 AS BIGINT) END
         WHERE id = $5 AND status = 'pending' RETURNING *",
    )
    .bind(to.as_str())
    .bind((to == OrderStatus::Failed).then_some(cause))
    .bind(now.as_millisecond())
    .bind(last_look.map(Timestamp::as_millisecond))
    .bind(id)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let order = order_of(&row)?;
    move_stock(&mut transaction, &order, 1).await?;
    note(&mut transaction, id, to, cause, now).await?;
    transaction.commit().await?;
    Ok(Some(order))
}

/// The channel was asked for the last time about an order that has ended: nobody can pay it.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn looked_last(database: &Database, id: &str) -> Result<(), PaymentError> {
    sqlx::query(
        "UPDATE orders SET next_check_at = NULL WHERE id = $1 AND status IN ('closed', 'failed')",
    )
    .bind(id)
    .execute(database.pool())
    .await?;
    Ok(())
}

/// Gives an order's stock back (1) or takes it (-1).
pub(super) async fn move_stock(
    connection: &mut AnyConnection,
    order: &Order,
    sign: i64,
) -> Result<(), PaymentError> {
    sqlx::query("UPDATE products SET stock = stock + $1 WHERE id = $2")
        .bind(order.quantity * sign)
        .bind(&order.product_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// One more step of the order's life.
pub(super) async fn note(
    connection: &mut AnyConnection,
    id: &str,
    status: OrderStatus,
    cause: &str,
    now: Timestamp,
) -> Result<(), PaymentError> {
    sqlx::query(
        "INSERT INTO order_history (id, order_id, status, cause, at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(Ulid::generate().to_string())
    .bind(id)
    .bind(status.as_str())
    .bind(cause)
    .bind(now.as_millisecond())
    .execute(connection)
    .await?;
    Ok(())
}

/// The game server is to hear of it: kept with what it tells of, sent later.
pub(super) async fn tell(
    connection: &mut AnyConnection,
    order: &Order,
    kind: &str,
    source: &str,
    now: Timestamp,
) -> Result<(), PaymentError> {
    let body = serde_json::json!({"type": kind, "timestamp": now.to_string(), "data": order});
    sqlx::query(
        "INSERT INTO fulfilments (id, order_id, type, source, body, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (source) DO NOTHING",
    )
    .bind(Ulid::generate().to_string())
    .bind(&order.id)
    .bind(kind)
    .bind(source)
    .bind(body.to_string())
    .bind(now.as_millisecond())
    .execute(connection)
    .await?;
    Ok(())
}

/// Orders whose time to be asked about has come, soonest first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn due_checks(
    database: &Database,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<String>, PaymentError> {
    let rows = sqlx::query(
        "SELECT id FROM orders WHERE next_check_at <= $1 ORDER BY next_check_at LIMIT $2",
    )
    .bind(now.as_millisecond())
    .bind(limit)
    .fetch_all(database.pool())
    .await?;
    Ok(rows
        .iter()
        .map(|row| row.try_get("id"))
        .collect::<Result<_, _>>()?)
}

/// The channel was asked; asks again at `next`.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn checked(database: &Database, id: &str, next: Timestamp) -> Result<(), PaymentError> {
    sqlx::query(
        "UPDATE orders SET checks = checks + 1, next_check_at = $1
         WHERE id = $2 AND status = 'pending'",
    )
    .bind(next.as_millisecond())
    .bind(id)
    .execute(database.pool())
    .await?;
    Ok(())
}
