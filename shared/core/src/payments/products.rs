//! Products: what is for sale, at which price, and how many pieces are left.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

use super::PaymentError;
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
                             limit_per_user = $5, stock = $6, active = $7, updated_at = $8
         WHERE id = $9 AND stock = $10
         RETURNING id, name, description, image_url, price, limit_per_user, stock, active",
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
        "SELECT id, name, description, image_url, price, limit_per_user, stock, active
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
    })
}

/// Reads a flag, which is 16 bits wide in Postgres; SQLite's integers are all 64.
pub(super) fn flag(row: &AnyRow, column: &str) -> Result<bool, PaymentError> {
    let value = match row.try_get::<i64, _>(column) {
        Ok(wide) => wide,
        Err(_) => i64::from(row.try_get::<i16, _>(column)?),
    };
    Ok(value != 0)
}
