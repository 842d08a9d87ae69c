//! The table `gifts`: what the ids of WeChat's console mean here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{AnyConnection, Row};

use super::GiftId;
use crate::payments::{PaymentError, damaged};
use crate::social::rewards::RewardItem;
use crate::storage::database::Database;

/// What an id of WeChat's console means here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GiftMapping {
    /// Of a pack, or of an item in packs.
    pub id: GiftId,
    /// What it grants.
    pub items: Vec<RewardItem>,
}

/// Creates or replaces a mapping. Gifts that were granted before do not change.
///
/// # Errors
/// [`PaymentError::UnknownProduct`] and [`PaymentError::Database`].
pub async fn put(
    database: &Database,
    mapping: &GiftMapping,
    now: Timestamp,
) -> Result<(), PaymentError> {
    for item in &mapping.items {
        let known: Option<i64> =
            sqlx::query_scalar("SELECT CAST(1 AS BIGINT) FROM products WHERE id = $1")
                .bind(&item.product_id)
                .fetch_optional(database.pool())
                .await?;
        known.ok_or(PaymentError::UnknownProduct)?;
    }
    sqlx::query(
        "INSERT INTO gifts (id, items, updated_at) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET items = excluded.items, updated_at = excluded.updated_at",
    )
    .bind(mapping.id.as_str())
    .bind(serde_json::json!(mapping.items).to_string())
    .bind(now.as_millisecond())
    .execute(database.pool())
    .await?;
    Ok(())
}

/// Lists all mappings; there are as many as packs and items in the console.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn list(database: &Database) -> Result<Vec<GiftMapping>, PaymentError> {
    sqlx::query("SELECT id, items FROM gifts ORDER BY id")
        .fetch_all(database.pool())
        .await?
        .iter()
        .map(|row| {
            let (id, items): (String, String) = (row.try_get("id")?, row.try_get("items")?);
            Ok(GiftMapping {
                id: id.try_into().map_err(|_| damaged("gifts.id"))?,
                items: serde_json::from_str(&items).map_err(|_| damaged("gifts.items"))?,
            })
        })
        .collect()
}

/// Returns the mappings of these ids, within the transaction of a grant.
pub(super) async fn of(
    connection: &mut AnyConnection,
    ids: impl Iterator<Item = &str>,
) -> Result<BTreeMap<String, Vec<RewardItem>>, PaymentError> {
    let mut known = BTreeMap::new();
    for id in ids {
        let items: Option<String> = sqlx::query_scalar("SELECT items FROM gifts WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut *connection)
            .await?;
        if let Some(items) = items {
            let items = serde_json::from_str(&items).map_err(|_| damaged("gifts.items"))?;
            known.insert(id.to_owned(), items);
        }
    }
    Ok(known)
}
