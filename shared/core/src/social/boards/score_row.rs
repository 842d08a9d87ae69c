//! The row of a player's score in a window.

use jiff::Timestamp;
use sqlx::{AnyConnection, Row};

use super::board::{Board, MAX_SCORE};
use super::error::BoardError;
use super::hooks;
use super::index::{Change, Position};
use super::names::WindowId;
use super::settings::Keep;
use crate::base::ids::UserId;

/// A score that a row is to have.
pub(super) struct Written<'a> {
    pub(super) window: &'a WindowId,
    pub(super) user: UserId,
    pub(super) score: i64,
    pub(super) extra: Option<&'a str>,
    /// When the player reached it.
    pub(super) at: Timestamp,
    /// Whether the window is the current one: a score of an earlier one does not replace a newer one at WeChat.
    pub(super) current: bool,
    pub(super) descending: bool,
    /// Of a new row.
    pub(super) hidden: i64,
}

/// Changes a player's row if the score improves it, or replaces it, or is added to it.
pub(super) async fn write(
    connection: &mut AnyConnection,
    board: &Board,
    row: &Written<'_>,
) -> Result<Option<Change>, BoardError> {
    let sql = match board.settings.keep {
        Keep::Best => include_str!("sql/score_best.sql"),
        Keep::Last => include_str!("sql/score_last.sql"),
        Keep::Sum => include_str!("sql/score_sum.sql"),
    };
    let sort_key = match row.descending {
        true => -row.score,
        false => row.score,
    };
    let written = sqlx::query(sql)
        .bind(&row.window.board)
        .bind(&row.window.window)
        .bind(row.user)
        .bind(row.score)
        .bind(sort_key)
        .bind(row.at.as_millisecond())
        .bind(row.extra)
        .bind(row.hidden)
        .bind(Timestamp::now().as_millisecond())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(written) = written else {
        return Ok(None);
    };
    let score: i64 = written.try_get("score")?;
    if score.abs() > MAX_SCORE {
        return Err(BoardError::OutOfRange);
    }
    let change = Change {
        position: Position {
            sort_key: written.try_get("sort_key")?,
            reached_at: written.try_get("reached_at")?,
            user: row.user,
        },
        ranked: written.try_get::<i64, _>("hidden")? == 0,
        version: written.try_get("version")?,
    };
    if row.current {
        hooks::improved(connection, board, row.user, score, row.at).await?;
    }
    Ok(Some(change))
}
