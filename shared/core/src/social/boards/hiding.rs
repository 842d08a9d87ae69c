//! Which players' scores others do not see: the banned, the erased, and on some boards those that WeChat lists as cheats. Each
//! reason is a bit of the column `hidden`. The index follows within seconds.

use jiff::Timestamp;
use sqlx::AnyConnection;

use super::names::BoardName;
use crate::base::ids::UserId;
use crate::storage::database::{Database, DatabaseError};

/// The value of `hidden` for these reasons: 1 for a ban, 2 for a mark.
pub(super) fn reasons(banned: bool, marked: bool) -> i64 {
    i64::from(banned) + 2 * i64::from(marked)
}

/// Hides or shows a player's scores, within the transaction of the ban or its lifting.
///
/// # Errors
/// [`DatabaseError`].
pub async fn set_banned(
    connection: &mut AnyConnection,
    user: UserId,
    banned: bool,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let sql = match banned {
        true => {
            "UPDATE scores SET hidden = hidden + 1, version = version + 1, changed_at = $2
             WHERE user_id = $1 AND hidden IN (0, 2)"
        }
        false => {
            "UPDATE scores SET hidden = hidden - 1, version = version + 1, changed_at = $2
             WHERE user_id = $1 AND hidden IN (1, 3)"
        }
    };
    sqlx::query(sql)
        .bind(user)
        .bind(now.as_millisecond())
        .execute(connection)
        .await?;
    Ok(())
}

/// Hides the scores of a player who is being erased, and deletes what the player sent with them or what others have
/// observed; archives keep rank and score under the player's id, which leads to no one any more. Within the
/// transaction that removes the profile.
///
/// # Errors
/// [`DatabaseError`].
pub async fn erase(
    connection: &mut AnyConnection,
    user: UserId,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    sqlx::query(
        "UPDATE scores SET extra = NULL, version = version + 1, changed_at = $2,
             hidden = CASE WHEN hidden IN (0, 2) THEN hidden + 1 ELSE hidden END
         WHERE user_id = $1",
    )
    .bind(user)
    .bind(now.as_millisecond())
    .execute(&mut *connection)
    .await?;
    for statement in [
        "DELETE FROM held_scores WHERE user_id = $1",
        "DELETE FROM group_members WHERE user_id = $1",
        "DELETE FROM cheat_marks WHERE user_id = $1",
    ] {
        sqlx::query(statement)
            .bind(user)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Hides the scores of banned players that were stored while the ban was; returns their number.
///
/// # Errors
/// [`DatabaseError`].
pub async fn repeat_bans(database: &Database, now: Timestamp) -> Result<u64, DatabaseError> {
    let done = sqlx::query(
        "UPDATE scores SET hidden = hidden + 1, version = version + 1, changed_at = $1
         WHERE hidden IN (0, 2) AND user_id IN (SELECT id FROM users WHERE banned_at IS NOT NULL)",
    )
    .bind(now.as_millisecond())
    .execute(database.pool())
    .await?;
    Ok(done.rows_affected())
}

/// Hides or shows a player's scores on a board that hides marked players.
pub(super) async fn set_marked(
    connection: &mut AnyConnection,
    user: UserId,
    board: &BoardName,
    marked: bool,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let sql = match marked {
        true => {
            "UPDATE scores SET hidden = hidden + 2, version = version + 1, changed_at = $3
             WHERE user_id = $1 AND board = $2 AND hidden IN (0, 1)"
        }
        false => {
            "UPDATE scores SET hidden = hidden - 2, version = version + 1, changed_at = $3
             WHERE user_id = $1 AND board = $2 AND hidden IN (2, 3)"
        }
    };
    sqlx::query(sql)
        .bind(user)
        .bind(board)
        .bind(now.as_millisecond())
        .execute(connection)
        .await?;
    Ok(())
}
