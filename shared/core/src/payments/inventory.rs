//! What players own: a ledger of grants, consumptions and revocations, each with a source that can cause it
//! once, and balances that are its sums.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Row};
use ulid::Ulid;
use utoipa::ToSchema;

use super::PaymentError;
use crate::base::ids::{ProductId, UserId};
use crate::storage::database::Database;

/// A player's balance of one product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The product.
    #[schema(value_type = String)]
    pub product_id: ProductId,
    /// Number of pieces left.
    pub quantity: i64,
}

/// Lists what a player owns.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn items(database: &Database, user: UserId) -> Result<Vec<Item>, PaymentError> {
    sqlx::query(
        "SELECT product_id, quantity FROM inventory WHERE user_id = $1 AND quantity > 0
         ORDER BY product_id",
    )
    .bind(user)
    .fetch_all(database.pool())
    .await?
    .iter()
    .map(|row| {
        Ok(Item {
            product_id: row.try_get("product_id")?,
            quantity: row.try_get("quantity")?,
        })
    })
    .collect()
}

/// Grants items, within the transaction of the change that grants them.
pub(crate) async fn grant(
    connection: &mut AnyConnection,
    user: UserId,
    product: &ProductId,
    quantity: i64,
    source: &str,
    now: Timestamp,
) -> Result<(), PaymentError> {
    let balance: i64 = sqlx::query_scalar(
        "INSERT INTO inventory (user_id, product_id, quantity) VALUES ($1, $2, $3)
         ON CONFLICT (user_id, product_id)
         DO UPDATE SET quantity = inventory.quantity + excluded.quantity
         RETURNING quantity",
    )
    .bind(user)
    .bind(product)
    .bind(quantity)
    .fetch_one(&mut *connection)
    .await?;
    // The source is unique: a second grant of it fails here, and the whole transaction with it.
    let entry = Entry {
        user,
        product,
        delta: quantity,
        source,
        digest: None,
        balance,
        now,
    };
    write(connection, &entry).await?;
    Ok(())
}

/// Whether `source` has caused an entry.
pub(super) async fn has_entry(
    connection: &mut AnyConnection,
    source: &str,
) -> Result<bool, PaymentError> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT CAST(1 AS BIGINT) FROM inventory_ledger WHERE source = $1")
            .bind(source)
            .fetch_optional(connection)
            .await?;
    Ok(found.is_some())
}

/// Revokes up to `quantity` items that were not consumed; returns their number.
pub(super) async fn revoke(
    connection: &mut AnyConnection,
    user: UserId,
    product: &ProductId,
    quantity: i64,
    source: &str,
    now: Timestamp,
) -> Result<i64, PaymentError> {
    // Changes nothing, but locks the row in both dialects.
    let owned: Option<i64> = sqlx::query_scalar(
        "UPDATE inventory SET quantity = quantity WHERE user_id = $1 AND product_id = $2
         RETURNING quantity",
    )
    .bind(user)
    .bind(product)
    .fetch_optional(&mut *connection)
    .await?;
    let revoked = owned.unwrap_or(0).min(quantity);
    if revoked > 0 {
        let balance = owned.unwrap_or(0) - revoked;
        sqlx::query("UPDATE inventory SET quantity = $1 WHERE user_id = $2 AND product_id = $3")
            .bind(balance)
            .bind(user)
            .bind(product)
            .execute(&mut *connection)
            .await?;
        let entry = Entry {
            user,
            product,
            delta: -revoked,
            source,
            digest: None,
            balance,
            now,
        };
        write(connection, &entry).await?;
    }
    Ok(revoked)
}

/// Consumes items. The same key gives the same result.
///
/// # Errors
/// [`PaymentError::NotEnough`], [`PaymentError::KeyReused`] and [`PaymentError::Database`].
pub async fn consume(
    database: &Database,
    user: UserId,
    product: &ProductId,
    quantity: i64,
    key: &str,
    now: Timestamp,
) -> Result<Item, PaymentError> {
    let source = format!("consume:{user}:{key}");
    let digest = format!("{product}:{quantity}");
    loop {
        let mut transaction = database.begin().await?;
        if let Some(item) = consumed(&mut transaction, &source, &digest, product).await? {
            return Ok(item);
        }
        let balance: Option<i64> = sqlx::query_scalar(
            "UPDATE inventory SET quantity = quantity - $1
             WHERE user_id = $2 AND product_id = $3 AND quantity >= $1 RETURNING quantity",
        )
        .bind(quantity)
        .bind(user)
        .bind(product)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(balance) = balance else {
            // The same request may have completed while this one waited for the row.
            return match consumed(&mut transaction, &source, &digest, product).await? {
                Some(item) => Ok(item),
                None => Err(PaymentError::NotEnough),
            };
        };
        let (delta, digest) = (-quantity, Some(digest.as_str()));
        let entry = Entry {
            user,
            product,
            delta,
            source: &source,
            digest,
            balance,
            now,
        };
        if write_once(&mut transaction, &entry).await? {
            transaction.commit().await?;
            return Ok(Item {
                product_id: product.clone(),
                quantity: balance,
            });
        }
        // Another request with this key was faster: this one is rolled back and finds its result.
    }
}

async fn consumed(
    connection: &mut AnyConnection,
    source: &str,
    digest: &str,
    product: &ProductId,
) -> Result<Option<Item>, PaymentError> {
    let row =
        sqlx::query("SELECT balance_after, request_digest FROM inventory_ledger WHERE source = $1")
            .bind(source)
            .fetch_optional(connection)
            .await?;
    let Some(row) = row else { return Ok(None) };
    if row
        .try_get::<Option<String>, _>("request_digest")?
        .as_deref()
        != Some(digest)
    {
        return Err(PaymentError::KeyReused);
    }
    Ok(Some(Item {
        product_id: product.clone(),
        quantity: row.try_get("balance_after")?,
    }))
}

struct Entry<'a> {
    user: UserId,
    product: &'a ProductId,
    delta: i64,
    source: &'a str,
    digest: Option<&'a str>,
    balance: i64,
    now: Timestamp,
}

async fn write(connection: &mut AnyConnection, entry: &Entry<'_>) -> Result<(), PaymentError> {
    let sql =
        "INSERT INTO inventory_ledger (id, user_id, product_id, delta, source, request_digest,
                                             balance_after, at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    insert(connection, sql, entry).await?;
    Ok(())
}

/// Returns `false` when the source has caused its entry before.
async fn write_once(
    connection: &mut AnyConnection,
    entry: &Entry<'_>,
) -> Result<bool, PaymentError> {
    let sql =
        "INSERT INTO inventory_ledger (id, user_id, product_id, delta, source, request_digest,
                                             balance_after, at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (source) DO NOTHING";
    Ok(insert(connection, sql, entry).await? == 1)
}

async fn insert(
    connection: &mut AnyConnection,
    sql: &'static str,
    entry: &Entry<'_>,
) -> Result<u64, PaymentError> {
    let done = sqlx::query(sql)
        .bind(Ulid::generate().to_string())
        .bind(entry.user)
        .bind(entry.product)
        .bind(entry.delta)
        .bind(entry.source)
        .bind(entry.digest)
        .bind(entry.balance)
        .bind(entry.now.as_millisecond())
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
