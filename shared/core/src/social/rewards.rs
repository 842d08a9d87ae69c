//! Rewards: items that a player receives other than by an order. A reward has a source, which causes it once;
//! it is written with its ledger entries, in the transaction of what caused it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use ulid::Ulid;
use utoipa::ToSchema;

use crate::base::ids::{ProductId, UserId};
use crate::base::iso_time;
use crate::payments::{PaymentError, damaged, inventory};
use crate::storage::database::Database;

/// Some pieces of one product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RewardItem {
    /// The product.
    #[schema(value_type = String)]
    pub product_id: ProductId,
    /// Number of pieces.
    pub quantity: u32,
}

/// A reward that a player has received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reward {
    /// What caused it: `season:BOARD:WINDOW:USER`, `invite:…`, `gift:…`.
    pub source: String,
    /// The items.
    pub items: Vec<RewardItem>,
    /// When it was granted.
    #[serde(serialize_with = "iso_time::serialize")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// One page of a player's rewards, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rewards {
    /// The rewards.
    pub rewards: Vec<Reward>,
    /// Where the next page begins; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Grants a reward within the transaction of what causes it. Returns whether it was granted now; `false`: its
/// source has caused it before.
///
/// # Errors
/// [`PaymentError::UnknownProduct`] when an item is no product, and [`PaymentError::Database`].
pub async fn grant(
    connection: &mut AnyConnection,
    user: UserId,
    source: &str,
    items: &[RewardItem],
    now: Timestamp,
) -> Result<bool, PaymentError> {
    let written = sqlx::query(
        "INSERT INTO rewards (id, user_id, source, items, at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (source) DO NOTHING",
    )
    .bind(Ulid::generate().to_string())
    .bind(user)
    .bind(source)
    .bind(serde_json::json!(items).to_string())
    .bind(now.as_millisecond())
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if written == 0 {
        return Ok(false);
    }
    // Rows of a player are locked in the order of the products, as everywhere.
    let mut items: Vec<_> = items.iter().enumerate().collect();
    items.sort_by(|(_, a), (_, b)| a.product_id.as_str().cmp(b.product_id.as_str()));
    for (index, item) in items {
        let known: Option<i64> =
            sqlx::query_scalar("SELECT CAST(1 AS BIGINT) FROM products WHERE id = $1")
                .bind(&item.product_id)
                .fetch_optional(&mut *connection)
                .await?;
        known.ok_or(PaymentError::UnknownProduct)?;
        // A ledger entry has one product and a source of its own.
        let entry = match index {
            0 => source.to_owned(),
            more => format!("{source}#{}", more + 1),
        };
        let quantity = i64::from(item.quantity);
        inventory::grant(connection, user, &item.product_id, quantity, &entry, now).await?;
    }
    Ok(true)
}

/// Lists a player's rewards, newest first, from after `cursor`.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn list(
    database: &Database,
    user: UserId,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Rewards, PaymentError> {
    let rows = sqlx::query(
        "SELECT id, source, items, at FROM rewards WHERE user_id = $1 AND id < $2
         ORDER BY id DESC LIMIT $3",
    )
    .bind(user)
    // No ULID is greater, in any collation.
    .bind(cursor.unwrap_or("ZZZZZZZZZZZZZZZZZZZZZZZZZZ"))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(database.pool())
    .await?;
    let next_cursor = match rows.last() {
        Some(last) if rows.len() == limit => Some(last.try_get("id")?),
        _ => None,
    };
    Ok(Rewards {
        rewards: rows.iter().map(reward_of).collect::<Result<_, _>>()?,
        next_cursor,
    })
}

/// Lists a player's rewards of invitations, newest first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn of_invites(
    database: &Database,
    user: UserId,
    limit: i64,
) -> Result<Vec<Reward>, PaymentError> {
    let rows = sqlx::query(
        "SELECT source, items, at FROM rewards WHERE user_id = $1 AND source LIKE 'invite:%'
         ORDER BY id DESC LIMIT $2",
    )
    .bind(user)
    .bind(limit)
    .fetch_all(database.pool())
    .await?;
    rows.iter().map(reward_of).collect()
}

fn reward_of(row: &AnyRow) -> Result<Reward, PaymentError> {
    let (items, at): (String, i64) = (row.try_get("items")?, row.try_get("at")?);
    Ok(Reward {
        source: row.try_get("source")?,
        items: serde_json::from_str(&items).map_err(|_| damaged("rewards.items"))?,
        at: Timestamp::from_millisecond(at).map_err(|_| damaged("rewards.at"))?,
    })
}
