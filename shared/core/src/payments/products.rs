//! Goods: what is for sale, at which price, and how many are left.

use avalon_wechat::pay::Fen;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

use super::{PaymentError, damaged};
use crate::storage::database::Database;

/// What is for sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Product {
    /// Chosen by the operator.
    pub product_id: String,
    /// Shown to players and in their bills.
    pub name: String,
    /// Shown to players.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// An https URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// Of one, in fen.
    #[schema(value_type = i64, minimum = 1)]
    pub price: Fen,
    /// Most that one player may have bought, pending orders included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_per_user: Option<i64>,
    /// What can still be ordered; none: no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock: Option<i64>,
    /// Whether it is for sale.
    pub active: bool,
}

/// Makes a product, or changes it. Orders keep the name and the price that they were made with.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn put(database: &Database, product: &Product) -> Result<Product, PaymentError> {
    let row = sqlx::query(
        "INSERT INTO products (id, name, description, image_url, price, limit_per_user, stock,
                               active, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
         ON CONFLICT (id) DO UPDATE SET
             name = excluded.name, description = excluded.description,
             image_url = excluded.image_url, price = excluded.price,
             limit_per_user = excluded.limit_per_user, stock = excluded.stock,
             active = excluded.active, updated_at = excluded.updated_at
         RETURNING *",
    )
    .bind(&product.product_id)
    .bind(&product.name)
    .bind(&product.description)
    .bind(&product.image_url)
    .bind(product.price.get())
    .bind(product.limit_per_user)
    .bind(product.stock)
    .bind(i16::from(product.active))
    .bind(Timestamp::now().as_millisecond())
    .fetch_one(database.pool())
    .await?;
    product_of(&row)
}

/// Changes a product whose stock is `expected`: orders that were made since it was read would be
/// forgotten by a stock that was counted without them.
///
/// # Errors
/// [`PaymentError::StockChanged`], also when there is no such product, and [`PaymentError::Database`].
pub async fn put_expecting(
    database: &Database,
    product: &Product,
    expected: i64,
) -> Result<Product, PaymentError> {
    let row = sqlx::query(
        "UPDATE products SET name = $1, description = $2, image_url = $3, price = $4,
                             limit_per_user = $5, stock = $6, active = $7, updated_at = $8
         WHERE id = $9 AND stock = $10 RETURNING *",
    )
    .bind(&product.name)
    .bind(&product.description)
    .bind(&product.image_url)
    .bind(product.price.get())
    .bind(product.limit_per_user)
    .bind(product.stock)
    .bind(i16::from(product.active))
    .bind(Timestamp::now().as_millisecond())
    .bind(&product.product_id)
    .bind(expected)
    .fetch_optional(database.pool())
    .await?;
    product_of(&row.ok_or(PaymentError::StockChanged)?)
}

/// All products, or those for sale.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn list(database: &Database, only_active: bool) -> Result<Vec<Product>, PaymentError> {
    sqlx::query("SELECT * FROM products WHERE active >= $1 ORDER BY id")
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
        price: Fen::new(row.try_get("price")?).map_err(|_| damaged("products.price"))?,
        limit_per_user: row.try_get("limit_per_user")?,
        stock: row.try_get("stock")?,
        active: flag(row, "active")?,
    })
}

/// SQLite's integers are all 64 bits wide, Postgres' flags are 16.
pub(super) fn flag(row: &AnyRow, column: &str) -> Result<bool, PaymentError> {
    let value = match row.try_get::<i64, _>(column) {
        Ok(wide) => wide,
        Err(_) => i64::from(row.try_get::<i16, _>(column)?),
    };
    Ok(value != 0)
}
