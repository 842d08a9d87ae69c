//! Creates orders: price, stock and the player's limit at the moment of the request.

use std::time::Duration;

use avalon_wechat::OpenId;
use jiff::Timestamp;
use sqlx::AnyConnection;

use super::super::order_rows::{Order, order_of};
use super::super::platform::{PayWith, Platform};
use super::super::products::{Product, product_of};
use super::super::status::{Channel, OrderStatus};
use super::super::{Cause, PaymentError};
use super::holds::{self, Held, HoldRules};
use super::record;
use crate::base::fen::Fen;
use crate::base::ids::{OrderId, ProductId, UserId};
use crate::storage::database::Database;

/// What a player wants to buy.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// The player.
    pub user_id: UserId,
    /// WeChat's id of the player.
    pub open_id: OpenId,
    /// The product.
    pub product_id: ProductId,
    /// Number of pieces.
    pub quantity: i64,
    /// The payment channel.
    pub channel: Channel,
    /// Where the player buys; none: unknown.
    pub platform: Option<Platform>,
    /// What the player pays with.
    pub pay_with: PayWith,
    /// The same key of the same player gives the same order.
    pub idempotency_key: String,
    /// Digest of the request: the same key with another digest is refused.
    pub request_digest: String,
    /// Bounds on what the player may hold unpaid, and for how long.
    pub holds: HoldRules,
    /// Time until the channel is first queried for the payment.
    pub first_check: Duration,
}

/// Creates an order at the current price and reserves its stock, or finds the one with the same key.
///
/// # Errors
/// [`PaymentError::UnknownProduct`], [`PaymentError::OutOfStock`], [`PaymentError::LimitReached`],
/// [`PaymentError::TooManyPending`], [`PaymentError::TooManyHeld`], [`PaymentError::KeyReused`],
/// [`PaymentError::Amount`] and [`PaymentError::Database`].
pub async fn create(
    database: &Database,
    new: &NewOrder,
    now: Timestamp,
) -> Result<Order, PaymentError> {
    // When two requests with one key collide, the second insert does nothing and the next round finds the
    // first one's row.
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
    holds::lock_player(&mut transaction, database.dialect(), new.user_id).await?;
    if let Some(order) = by_key(&mut transaction, new).await? {
        return Ok(Some(order));
    }
    let product = for_sale(&mut transaction, &new.product_id).await?;
    let bought = match product.limit_per_user {
        Some(_) => bought(&mut transaction, new).await?,
        None => 0,
    };
    let held = holds::held(&mut transaction, new.user_id, &new.product_id).await?;
    let terms = Terms::of(new, product, held, bought)?;
    let row = sqlx::query(include_str!("../sql/order_insert.sql"))
        .bind(OrderId::new())
        .bind(new.user_id)
        .bind(new.open_id.as_str())
        .bind(&new.product_id)
        .bind(&terms.product.name)
        .bind(new.quantity)
        .bind(terms.total)
        .bind(new.channel)
        .bind(&new.idempotency_key)
        .bind(&new.request_digest)
        .bind(now.as_millisecond())
        .bind(terms.expires_at(now))
        .bind(terms.first_check_at(now))
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let order = order_of(&row)?;
    let (status, cause) = (OrderStatus::Pending, Cause::Created);
    record(&mut transaction, order.id, status, cause, now).await?;
    if terms.product.stock.is_some()
        && !take_stock(&mut transaction, &new.product_id, new.quantity).await?
    {
        return Err(PaymentError::OutOfStock);
    }
    transaction.commit().await?;
    Ok(Some(order))
}

/// What an order is created with, if the rules admit it.
pub(super) struct Terms {
    /// The product, as it is now.
    pub(super) product: Product,
    /// The price of all pieces.
    pub(super) total: Fen,
    ttl: Duration,
    first_check: Duration,
}

impl Terms {
    /// Applies the rules. `bought`: pieces that the player has bought or is buying, if the product has a limit.
    pub(super) fn of(
        new: &NewOrder,
        product: Product,
        held: Held,
        bought: i64,
    ) -> Result<Self, PaymentError> {
        if !product.is_sold(new.platform, new.channel, new.pay_with) {
            return Err(PaymentError::UnknownProduct);
        }
        if product.stock.is_some_and(|stock| stock < new.quantity) {
            return Err(PaymentError::OutOfStock);
        }
        if let Some(limit) = product.limit_per_user
            && bought.saturating_add(new.quantity) > limit
        {
            return Err(PaymentError::LimitReached);
        }
        new.holds.admit(held, &product, new.quantity)?;
        let pieces = u32::try_from(new.quantity).map_err(|_| PaymentError::Amount)?;
        let total = match new.pay_with {
            PayWith::Money => product.price.checked_mul(pieces),
            PayWith::Coins => Some(Fen::ZERO),
        };
        Ok(Self {
            total: total.ok_or(PaymentError::Amount)?,
            ttl: new.holds.ttl_of(&product, new.quantity),
            first_check: new.first_check,
            product,
        })
    }

    /// When the order is closed unless it is paid, Unix ms.
    pub(super) fn expires_at(&self, now: Timestamp) -> i64 {
        after(now, self.ttl)
    }

    /// When the channel is first queried, Unix ms.
    pub(super) fn first_check_at(&self, now: Timestamp) -> i64 {
        after(now, self.first_check)
    }
}

fn after(now: Timestamp, wait: Duration) -> i64 {
    now.as_millisecond()
        .saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}

async fn by_key(
    connection: &mut AnyConnection,
    new: &NewOrder,
) -> Result<Option<Order>, PaymentError> {
    let row = sqlx::query(include_str!("../sql/order_by_key.sql"))
        .bind(new.user_id)
        .bind(&new.idempotency_key)
        .fetch_optional(connection)
        .await?;
    match row.map(|row| order_of(&row)).transpose()? {
        Some(order) if order.request_digest != new.request_digest => Err(PaymentError::KeyReused),
        order => Ok(order),
    }
}

async fn for_sale(
    connection: &mut AnyConnection,
    product: &ProductId,
) -> Result<Product, PaymentError> {
    let row = sqlx::query(
        "SELECT id, name, description, image_url, price, limit_per_user, stock, active,
                virtual_product_id, coin_price, coins, platforms
         FROM products WHERE id = $1 AND active = 1",
    )
    .bind(product)
    .fetch_optional(connection)
    .await?;
    product_of(&row.ok_or(PaymentError::UnknownProduct)?)
}

/// Counts the pieces that the player has bought or is buying.
async fn bought(connection: &mut AnyConnection, new: &NewOrder) -> Result<i64, PaymentError> {
    Ok(sqlx::query_scalar(
        "SELECT CAST(coalesce(sum(quantity), 0) AS BIGINT) FROM orders
         WHERE user_id = $1 AND product_id = $2 AND status IN ('pending', 'paid', 'refunding')",
    )
    .bind(new.user_id)
    .bind(&new.product_id)
    .fetch_one(connection)
    .await?)
}

/// Takes stock of a product if that much is left; returns whether it was. The last statement of its transaction:
/// other orders of the product wait for the row.
pub(super) async fn take_stock(
    connection: &mut AnyConnection,
    product: &ProductId,
    pieces: i64,
) -> Result<bool, PaymentError> {
    let taken = sqlx::query(
        "UPDATE products SET stock = stock - $1
         WHERE id = $2 AND active = 1 AND (stock IS NULL OR stock >= $1)",
    )
    .bind(pieces)
    .bind(product)
    .execute(connection)
    .await?;
    Ok(taken.rows_affected() > 0)
}
