//! The `users` table as clients see it, and bans. Session keys are in `session_keys`, profile columns in
//! `profiles`.

use avalon_wechat::OpenId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;
use utoipa::ToSchema;

use crate::base::ids::UserId;
use crate::base::iso_time;
use crate::social::boards;
use crate::storage::database::{Database, DatabaseError};

/// A player, as clients and the game server see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserInfo {
    /// Called `userId` elsewhere.
    #[serde(rename = "_id")]
    pub id: UserId,
    /// WeChat's id of the player in this mini-game.
    pub open_id: String,
    /// WeChat's id of the player across the apps of one Open Platform account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub union_id: Option<String>,
    /// Chosen by the player.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nickname: Option<String>,
    /// An https URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// 0 unknown, 1 male, 2 female.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gender: Option<i16>,
    /// As WeChat writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// As WeChat writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub province: Option<String>,
    /// As WeChat writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Such as `zh_CN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// ISO 8601, UTC.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "iso_time::serialize")]
    pub created_at: Timestamp,
    /// ISO 8601, UTC.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "iso_time::serialize")]
    pub updated_at: Timestamp,
    /// ISO 8601, UTC.
    #[schema(value_type = String, format = DateTime)]
    #[serde(serialize_with = "iso_time::serialize")]
    pub last_login_at: Timestamp,
}

/// A player could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<sqlx::Error> for UserError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Returns the player with this openid.
///
/// # Errors
/// [`UserError::Database`].
pub async fn by_open_id(
    database: &Database,
    open_id: &OpenId,
) -> Result<Option<UserInfo>, UserError> {
    sqlx::query(include_str!("sql/user_by_open_id.sql"))
        .bind(open_id.as_str())
        .fetch_optional(database.pool())
        .await?
        .map(|row| user_of(&row))
        .transpose()
}

/// Returns the player with this id.
///
/// # Errors
/// [`UserError::Database`].
pub async fn by_id(database: &Database, id: UserId) -> Result<Option<UserInfo>, UserError> {
    sqlx::query(include_str!("sql/user_by_id.sql"))
        .bind(id.to_string())
        .fetch_optional(database.pool())
        .await?
        .map(|row| user_of(&row))
        .transpose()
}

/// A ban of a player.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ban {
    /// Start of the ban; ISO 8601, UTC.
    #[serde(serialize_with = "iso_time::serialize")]
    pub at: Timestamp,
    /// As the operator wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Returns the player's ban, if there is one.
///
/// # Errors
/// [`UserError::Database`].
pub async fn ban_of(database: &Database, id: UserId) -> Result<Option<Ban>, UserError> {
    let row = sqlx::query(
        "SELECT banned_at, ban_reason FROM users WHERE id = $1 AND banned_at IS NOT NULL",
    )
    .bind(id.to_string())
    .fetch_optional(database.pool())
    .await?;
    row.map(|row| {
        Ok(Ban {
            at: time(&row, "banned_at")?,
            reason: row.try_get("ban_reason")?,
        })
    })
    .transpose()
}

/// Returns banned players in the order of their ids, those after `after`, at most `limit`.
///
/// # Errors
/// [`UserError::Database`].
pub async fn banned_after(
    database: &Database,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<UserId>, UserError> {
    let rows = sqlx::query(
        "SELECT id FROM users WHERE banned_at IS NOT NULL AND id > $1 ORDER BY id LIMIT $2",
    )
    .bind(after.map_or_else(String::new, |id| id.to_string()))
    .bind(limit)
    .fetch_all(database.pool())
    .await?;
    rows.iter().map(id_of).collect()
}

/// Bans a player, or changes the reason of a ban; `None` lifts it. Hides the player's scores. Does not end the player's sessions:
/// `Sessions::ban` does.
///
/// # Errors
/// [`UserError::Database`].
pub async fn set_ban(database: &Database, id: UserId, ban: Option<&Ban>) -> Result<(), UserError> {
    let mut transaction = database.begin().await?;
    sqlx::query("UPDATE users SET banned_at = $2, ban_reason = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(ban.map(|ban| ban.at.as_millisecond()))
        .bind(ban.and_then(|ban| ban.reason.clone()))
        .execute(&mut *transaction)
        .await?;
    boards::set_banned(&mut transaction, id, ban.is_some(), Timestamp::now()).await?;
    transaction.commit().await?;
    Ok(())
}

pub(crate) fn user_of(row: &AnyRow) -> Result<UserInfo, UserError> {
    Ok(UserInfo {
        id: id_of(row)?,
        open_id: row.try_get("open_id")?,
        union_id: row.try_get("union_id")?,
        nickname: row.try_get("nickname")?,
        avatar_url: row.try_get("avatar_url")?,
        gender: small(row, "gender")?,
        country: row.try_get("country")?,
        province: row.try_get("province")?,
        city: row.try_get("city")?,
        language: row.try_get("language")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        last_login_at: time(row, "last_login_at")?,
    })
}

fn id_of(row: &AnyRow) -> Result<UserId, UserError> {
    let id: String = row.try_get("id")?;
    let id = id.parse();
    Ok(id.map_err(|_| DatabaseError::Damaged("users.id".to_owned()))?)
}

/// Reads a column that has 16 bits in Postgres and 64 bits in SQLite.
fn small(row: &AnyRow, column: &str) -> Result<Option<i16>, UserError> {
    match row.try_get::<Option<i64>, _>(column) {
        Ok(wide) => Ok(wide.and_then(|wide| i16::try_from(wide).ok())),
        Err(_) => Ok(row.try_get(column)?),
    }
}

fn time(row: &AnyRow, column: &str) -> Result<Timestamp, UserError> {
    let millis: i64 = row.try_get(column)?;
    Ok(Timestamp::from_millisecond(millis)
        .map_err(|_| DatabaseError::Damaged(format!("users.{column}")))?)
}
