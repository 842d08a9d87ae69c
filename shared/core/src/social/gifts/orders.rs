//! The table `gift_orders`: gifts that were pushed, and granting them.

use avalon_wechat::OpenId;
use avalon_wechat::message_push::GiftPack;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::{Content, PackItem, mappings};
use crate::base::ids::{PushId, UserId};
use crate::base::iso_time;
use crate::payments::{PaymentError, damaged};
use crate::social::rewards;
use crate::storage::database::{Database, DatabaseError};

/// No ULID is greater, in any collation.
const MAX_ULID: &str = "ZZZZZZZZZZZZZZZZZZZZZZZZZZ";

/// What delivering a gift came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It was granted now.
    Granted,
    /// It had been granted before.
    Repeated,
    /// It waits for a mapping.
    Unmapped,
    /// The player does not exist, or not any more.
    NoPlayer,
}

/// A gift that was pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GiftOrder {
    /// WeChat's id of the gift.
    pub order_id: String,
    /// The player.
    pub user_id: UserId,
    /// The pack, if WeChat named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gift_id: Option<String>,
    /// The content, with ids of WeChat's console.
    pub content: Vec<PackItem>,
    /// The push that brought it.
    pub push_id: PushId,
    /// When it was first processed.
    #[serde(serialize_with = "iso_time::serialize")]
    pub received_at: Timestamp,
    /// When it was granted; none: it waits for a mapping.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "iso_time::serialize_option"
    )]
    pub granted_at: Option<Timestamp>,
}

/// Which gifts to list.
#[derive(Clone, Debug, Default)]
pub struct GiftFilter {
    /// Only those that wait for a mapping.
    pub waiting: bool,
    /// Only those pushed before this one.
    pub cursor: Option<PushId>,
    /// Maximum number.
    pub limit: i64,
}

/// Whether a player with this openid has signed in: WeChat wants to know at once.
///
/// # Errors
/// When the database fails.
pub async fn is_player(database: &Database, open_id: &OpenId) -> Result<bool, DatabaseError> {
    // No player's; Postgres cannot compare it.
    if open_id.as_str().contains('\0') {
        return Ok(false);
    }
    let known = sqlx::query("SELECT id FROM users WHERE open_id = $1").bind(open_id.as_str());
    Ok(known.fetch_optional(database.pool()).await?.is_some())
}

async fn user(
    connection: &mut AnyConnection,
    open_id: &OpenId,
) -> Result<Option<UserId>, PaymentError> {
    // No player's; Postgres cannot compare it.
    if open_id.as_str().contains('\0') {
        return Ok(None);
    }
    let id = sqlx::query_scalar("SELECT id FROM users WHERE open_id = $1")
        .bind(open_id.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(id)
}

/// Stores a pushed gift and grants it if its ids are mapped. A repeat changes nothing, unless a mapping has been
/// added since.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn deliver(
    database: &Database,
    push: PushId,
    pack: &GiftPack,
    now: Timestamp,
) -> Result<Delivered, PaymentError> {
    let order_id = pack.order_id.replace('\0', "\u{fffd}");
    let content = Content::of(pack);
    let mut transaction = database.begin().await?;
    let Some(user) = user(&mut transaction, &pack.open_id).await? else {
        return Ok(Delivered::NoPlayer);
    };
    sqlx::query(
        "INSERT INTO gift_orders (order_id, user_id, gift_id, content, push_id, received_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (order_id) DO NOTHING",
    )
    .bind(&order_id)
    .bind(user)
    .bind(
        content
            .gift_id
            .as_ref()
            .map(|id| id.replace('\0', "\u{fffd}")),
    )
    .bind(serde_json::json!(content.items).to_string())
    .bind(push)
    .bind(now.as_millisecond())
    .execute(&mut *transaction)
    .await?;
    let delivered = grant(&mut transaction, &order_id, now).await?;
    transaction.commit().await?;
    Ok(delivered)
}

/// Grants a stored gift, once. The row is locked until the transaction ends.
async fn grant(
    connection: &mut AnyConnection,
    order_id: &str,
    now: Timestamp,
) -> Result<Delivered, PaymentError> {
    // Changes nothing, but locks the row in both dialects.
    let row = sqlx::query(
        "UPDATE gift_orders SET order_id = order_id WHERE order_id = $1
         RETURNING order_id, user_id, gift_id, content, push_id, received_at, granted_at",
    )
    .bind(order_id)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(order) = row.as_ref().map(order_of).transpose()? else {
        return Ok(Delivered::NoPlayer);
    };
    if order.granted_at.is_some() {
        return Ok(Delivered::Repeated);
    }
    let content = Content {
        gift_id: order.gift_id,
        items: order.content,
    };
    let ids = content
        .gift_id
        .iter()
        .chain(content.items.iter().map(|item| &item.id));
    let known = mappings::of(connection, ids.map(String::as_str)).await?;
    let Some(items) = content.resolve(&known) else {
        return Ok(Delivered::Unmapped);
    };
    let source = format!("gift:{order_id}");
    rewards::grant(connection, order.user_id, &source, &items, now).await?;
    sqlx::query("UPDATE gift_orders SET granted_at = $2 WHERE order_id = $1")
        .bind(order_id)
        .bind(now.as_millisecond())
        .execute(connection)
        .await?;
    Ok(Delivered::Granted)
}

/// Looks at up to `limit` waiting gifts, those after `after`, and grants those that are mapped by now. Returns the
/// number granted and, if there may be more, where to go on.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn grant_waiting(
    database: &Database,
    after: Option<&str>,
    limit: i64,
    now: Timestamp,
) -> Result<(u64, Option<String>), PaymentError> {
    let waiting: Vec<String> = sqlx::query_scalar(
        "SELECT order_id FROM gift_orders WHERE granted_at IS NULL AND order_id > $1
         ORDER BY order_id LIMIT $2",
    )
    .bind(after.unwrap_or_default())
    .bind(limit)
    .fetch_all(database.pool())
    .await?;
    let mut granted = 0;
    for order_id in &waiting {
        let mut transaction = database.begin().await?;
        if grant(&mut transaction, order_id, now).await? == Delivered::Granted {
            transaction.commit().await?;
            granted += 1;
        }
    }
    let full = i64::try_from(waiting.len()).is_ok_and(|count| count == limit);
    Ok((granted, waiting.into_iter().next_back().filter(|_| full)))
}

/// Lists gifts, newest first.
///
/// # Errors
/// [`PaymentError::Database`].
pub async fn orders(
    database: &Database,
    filter: &GiftFilter,
) -> Result<Vec<GiftOrder>, PaymentError> {
    let all = "SELECT order_id, user_id, gift_id, content, push_id, received_at, granted_at
         FROM gift_orders WHERE push_id < $1 ORDER BY push_id DESC LIMIT $2";
    let waiting = "SELECT order_id, user_id, gift_id, content, push_id, received_at, granted_at
         FROM gift_orders WHERE granted_at IS NULL AND push_id < $1 ORDER BY push_id DESC LIMIT $2";
    let cursor = filter.cursor.map(|id| id.to_string());
    sqlx::query(if filter.waiting { waiting } else { all })
        .bind(cursor.unwrap_or_else(|| MAX_ULID.to_owned()))
        .bind(filter.limit)
        .fetch_all(database.pool())
        .await?
        .iter()
        .map(order_of)
        .collect()
}

fn order_of(row: &AnyRow) -> Result<GiftOrder, PaymentError> {
    let time = |ms: i64| Timestamp::from_millisecond(ms).map_err(|_| damaged("gift_orders.at"));
    let content: String = row.try_get("content")?;
    let granted_at: Option<i64> = row.try_get("granted_at")?;
    Ok(GiftOrder {
        order_id: row.try_get("order_id")?,
        user_id: row.try_get("user_id")?,
        gift_id: row.try_get("gift_id")?,
        content: serde_json::from_str(&content).map_err(|_| damaged("gift_orders.content"))?,
        push_id: row.try_get("push_id")?,
        received_at: time(row.try_get("received_at")?)?,
        granted_at: granted_at.map(time).transpose()?,
    })
}
