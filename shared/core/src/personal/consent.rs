//! What WeChat reports of single players: a profile that it cleaned, a consent that was withdrawn.

use avalon_wechat::OpenId;
use jiff::Timestamp;

use super::erasure::events;
use crate::base::ids::UserId;
use crate::storage::database::{Database, DatabaseError};

/// Clears nickname and avatar, which WeChat has cleaned as a risk, until the client submits them again, from
/// whichever source. Returns `false` if there is no such player.
///
/// # Errors
/// The database's.
pub async fn clear_profile(
    database: &Database,
    open_id: &OpenId,
    now: Timestamp,
) -> Result<bool, DatabaseError> {
    let done = sqlx::query(
        "UPDATE users SET nickname = NULL, avatar_url = NULL, profile_source = NULL, profile_at = NULL,
                          profile_revision = profile_revision + 1, updated_at = $2
         WHERE open_id = $1",
    )
    .bind(open_id.as_str())
    .bind(now.as_millisecond())
    .execute(database.pool())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Deletes all that a player consented to: the profile, and the places that events have from it. Openid and
/// unionid are not subject to consent: they identify the account. Returns `false` if there is no such player.
///
/// # Errors
/// The database's.
pub async fn withdraw(
    database: &Database,
    open_id: &OpenId,
    now: Timestamp,
) -> Result<bool, DatabaseError> {
    let user: Option<UserId> = sqlx::query_scalar(
        "UPDATE users SET nickname = NULL, avatar_url = NULL, gender = NULL, country = NULL, province = NULL,
                          city = NULL, language = NULL, refused_nickname = NULL, profile_source = NULL,
                          profile_at = NULL, profile_revision = profile_revision + 1, updated_at = $2
         WHERE open_id = $1 RETURNING id",
    )
    .bind(open_id.as_str())
    .bind(now.as_millisecond())
    .fetch_optional(database.pool())
    .await?;
    let Some(user) = user else { return Ok(false) };
    events::remove_places(database, user).await?;
    Ok(true)
}
