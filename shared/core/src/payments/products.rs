//! Products: what is for sale, at which price, and how many pieces are left.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

use super::platform::{PayWith, Platform};
use super::status::Channel;
use super::{PaymentError, damaged};
use crate::base::fen::Fen;
use crate::base::ids::ProductId;
use crate::storage::database::Database;

/// A product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Product {
    /// Chosen by the operator.
    #[schema(value_type = String)]
    pub product_id: ProductId,
    /// Shown to players and in their bills.
    pub name: String,
    /// Shown to players.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// An https URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// Price of one piece, in fen.
    #[schema(value_type = i64, minimum = 1)]
    pub price: Fen,
    /// Maximum number of pieces per player, pending orders included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_per_user: Option<i64>,
    /// Number of pieces that can still be ordered; none: unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock: Option<i64>,
    /// Whether it is for sale.
    pub active: bool,
    /// Its id in the console of virtual payment; none: not sold there, unless it is a coin pack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_product_id: Option<String>,
    /// Price of one piece in coins; none: not sold for coins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coin_price: Option<i64>,
    /// Coins in one piece: it is a coin pack, which grants no items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coins: Option<i64>,
    /// Where it is sold; none: everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platforms: Option<Vec<Platform>>,
}

impl Product {
    /// A product for sale without limits.
    pub fn new(product_id: ProductId, name: impl Into<String>, price: Fen) -> Self {
        Self {
            product_id,
            name: name.into(),
            description: None,
            image_url: None,
            price,
            limit_per_user: None,
            stock: None,
            active: true,
            virtual_product_id: None,
            coin_price: None,
            coins: None,
            platforms: None,
        }
    }

    /// Whether it is sold on `platform` (none: unknown) through `channel`.
    pub fn is_sold(&self, platform: Option<Platform>, channel: Channel, with: PayWith) -> bool {
        let there = match (&self.platforms, platform) {
            (Some(platforms), Some(platform)) => platforms.contains(&platform),
            _ => true,
        };
        there
            && match (channel, with) {
                (Channel::VirtualPayment, PayWith::Coins) => {
                    self.coin_price.is_some() && self.coins.is_none()
                }
                (Channel::VirtualPayment, PayWith::Money) => {
                    self.virtual_product_id.is_some() || self.coins.is_some()
                }
                // Coins are WeChat's: only virtual payment sells and spends them.
                (Channel::WechatPay, PayWith::Money) => self.coins.is_none(),
                (Channel::WechatPay, PayWith::Coins) => false,
            }
    }
}

/// Creates or replaces a product. Existing orders keep their name and price.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn put(database: &Database, product: &Product) -> Result<Product, PaymentError> {
    let row = sqlx::query(include_str!("sql/product_put.sql"))
        .bind(&product.product_id)
        .bind(&product.name)
        .bind(&product.description)
        .bind(&product.image_url)
        .bind(product.price)
        .bind(product.limit_per_user)
        .bind(product.stock)
        .bind(i16::from(product.active))
        .bind(Timestamp::now().as_millisecond())
        .bind(&product.virtual_product_id)
        .bind(product.coin_price)
        .bind(product.coins)
        .bind(platforms_text(product))
        .fetch_one(database.pool())
        .await?;
    product_of(&row)
}

/// Replaces a product if its stock is `expected`: a new stock that was counted without the orders placed
/// since would lose them.
///
/// # Errors
/// [`PaymentError::StockChanged`], also when the product does not exist, and [`PaymentError::Database`].
pub async fn put_expecting(
    database: &Database,
    product: &Product,
    expected: i64,
) -> Result<Product, PaymentError> {
    let row = sqlx::query(
        "UPDATE products SET name = $1, description = $2, image_url = $3, price = $4,
                             limit_per_user = $5, stock = $6, active = $7, updated_at = $8,
                             virtual_product_id = $11, coin_price = $12, coins = $13, platforms = $14
         WHERE id = $9 AND stock = $10
         RETURNING id, name, description, image_url, price, limit_per_user, stock, active,
                   virtual_product_id, coin_price, coins, platforms",
    )
    .bind(&product.name)
    .bind(&product.description)
    .bind(&product.image_url)
    .bind(product.price)
    .bind(product.limit_per_user)
    .bind(product.stock)
    .bind(i16::from(product.active))
    .bind(Timestamp::now().as_millisecond())
    .bind(&product.product_id)
    .bind(expected)
    .bind(&product.virtual_product_id)
    .bind(product.coin_price)
    .bind(product.coins)
    .bind(platforms_text(product))
    .fetch_optional(database.pool())
    .await?;
    product_of(&row.ok_or(PaymentError::StockChanged)?)
}

/// Lists all products, or only those for sale.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn list(database: &Database, only_active: bool) -> Result<Vec<Product>, PaymentError> {
    sqlx::query(
        "SELECT id, name, description, image_url, price, limit_per_user, stock, active,
                virtual_product_id, coin_price, coins, platforms
         FROM products WHERE active >= $1 ORDER BY id",
    )
    .bind(i16::from(only_active))
    .fetch_all(database.pool())
    .await?
    .iter()
    .map(product_of)
    .collect()
}

pub(super) fn product_of(row: &AnyRow) -> Result<Product, PaymentError> {
    Ok(Product {
        product_id: row.try_get("id")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        image_url: row.try_get("image_url")?,
        price: row.try_get("price")?,
        limit_per_user: row.try_get("limit_per_user")?,
        stock: row.try_get("stock")?,
        active: flag(row, "active")?,
        virtual_product_id: row.try_get("virtual_product_id")?,
        coin_price: row.try_get("coin_price")?,
        coins: row.try_get("coins")?,
        platforms: row
            .try_get::<Option<String>, _>("platforms")?
            .map(|text| {
                text.split(',')
                    .map(|name| name.parse().map_err(|_| damaged("products.platforms")))
                    .collect()
            })
            .transpose()?,
    })
}

fn platforms_text(product: &Product) -> Option<String> {
    let platforms = product.platforms.as_ref()?;
    let names: Vec<&str> = platforms.iter().map(Into::into).collect();
    Some(names.join(","))
}

/// Reads the product with this id in the console of virtual payment; of several, the first by id that is for
/// sale.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn by_virtual_id(
    database: &Database,
    virtual_product_id: &str,
) -> Result<Option<Product>, PaymentError> {
    let row = sqlx::query(
        "SELECT id, name, description, image_url, price, limit_per_user, stock, active,
                virtual_product_id, coin_price, coins, platforms
         FROM products WHERE virtual_product_id = $1 ORDER BY active DESC, id LIMIT 1",
    )
    .bind(virtual_product_id)
    .fetch_optional(database.pool())
    .await?;
    row.map(|row| product_of(&row)).transpose()
}

/// Reads a product, for sale or not.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn by_id(database: &Database, id: &ProductId) -> Result<Option<Product>, PaymentError> {
    let row = sqlx::query(
        "SELECT id, name, description, image_url, price, limit_per_user, stock, active,
                virtual_product_id, coin_price, coins, platforms
         FROM products WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(database.pool())
    .await?;
    row.map(|row| product_of(&row)).transpose()
}

/// Reads a flag, which is 16 bits wide in Postgres; SQLite's integers are all 64.
pub(super) fn flag(row: &AnyRow, column: &str) -> Result<bool, PaymentError> {
    let value = match row.try_get::<i64, _>(column) {
        Ok(wide) => wide,
        Err(_) => i64::from(row.try_get::<i16, _>(column)?),
    };
    Ok(value != 0)
}
