//! Groups of WeChat's: a player who opens a card in one belongs to it for a while. Rankings of their members are read
//! from the tables, since groups are small.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row;

use super::error::BoardError;
use super::index::Position;
use super::names::WindowId;
use crate::base::ids::UserId;
use crate::storage::database::{Database, DatabaseError};

/// How long a player belongs to a group after opening a card in it.
const MEMBERSHIP: Duration = Duration::from_secs(30 * 24 * 3600);
/// Maximum number of ranked members; a group of WeChat's has at most 500.
const MAX_MEMBERS: i64 = 2000;

/// Records that a player has opened a card in a group.
///
/// # Errors
/// [`DatabaseError`].
pub async fn join(
    database: &Database,
    group: &str,
    user: UserId,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let expires_at = now.checked_add(MEMBERSHIP).unwrap_or(Timestamp::MAX);
    sqlx::query(
        "INSERT INTO group_members (group_id, user_id, expires_at) VALUES ($1, $2, $3)
         ON CONFLICT (group_id, user_id) DO UPDATE SET expires_at = excluded.expires_at",
    )
    .bind(group)
    .bind(user)
    .bind(expires_at.as_millisecond())
    .execute(database.pool())
    .await?;
    Ok(())
}

/// Checks that a player belongs to a group. An unknown group is one without members.
pub(super) async fn require_member(
    database: &Database,
    group: &str,
    user: UserId,
    now: Timestamp,
) -> Result<(), BoardError> {
    let found: Option<i64> = sqlx::query_scalar(
        "SELECT expires_at FROM group_members
         WHERE group_id = $1 AND user_id = $2 AND coalesce(expires_at, 0) > $3",
    )
    .bind(group)
    .bind(user)
    .bind(now.as_millisecond())
    .fetch_optional(database.pool())
    .await?;
    found.map(drop).ok_or(BoardError::UnknownGroup)
}

/// Returns the places of a group's members in an open window, in the order of the ranking.
pub(super) async fn places(
    database: &Database,
    window: &WindowId,
    group: &str,
    now: Timestamp,
) -> Result<Vec<Position>, BoardError> {
    sqlx::query(
        "SELECT s.user_id, s.sort_key, s.reached_at
         FROM group_members g
         JOIN scores s ON s.board = $1 AND s.window_key = $2 AND s.user_id = g.user_id
         WHERE g.group_id = $3 AND g.expires_at > $4 AND s.hidden = 0
         ORDER BY s.sort_key, s.reached_at, s.user_id LIMIT $5",
    )
    .bind(&window.board)
    .bind(&window.window)
    .bind(group)
    .bind(now.as_millisecond())
    .bind(MAX_MEMBERS)
    .fetch_all(database.pool())
    .await?
    .iter()
    .map(|row| {
        Ok(Position {
            sort_key: row.try_get("sort_key")?,
            reached_at: row.try_get("reached_at")?,
            user: row.try_get("user_id")?,
        })
    })
    .collect()
}

/// Returns members and their scores in a window that has ended, in the order of the ranking.
pub(super) async fn archived(
    database: &Database,
    window: &WindowId,
    group: &str,
    now: Timestamp,
) -> Result<Vec<(UserId, i64)>, BoardError> {
    sqlx::query(
        "SELECT a.user_id, a.score FROM group_members g
         JOIN board_archive a ON a.board = $1 AND a.window_key = $2 AND a.user_id = g.user_id
         WHERE g.group_id = $3 AND g.expires_at > $4 ORDER BY a.rank LIMIT $5",
    )
    .bind(&window.board)
    .bind(&window.window)
    .bind(group)
    .bind(now.as_millisecond())
    .bind(MAX_MEMBERS)
    .fetch_all(database.pool())
    .await?
    .iter()
    .map(|row| Ok((row.try_get("user_id")?, row.try_get("score")?)))
    .collect()
}
