//! Held scores: implausible ones, stored and not ranked, until an operator judges them. Their players see them as if
//! they counted.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use ulid::Ulid;

use super::board::Board;
use super::error::BoardError;
use super::index::Change;
use super::names::{BoardName, WindowId};
use super::score_row::{self, Written};
use super::scores::NewScore;
use super::settings::{HeldReason, Keep};
use super::window_lock::{self, Lock};
use super::windows::WindowState;
use crate::base::ids::UserId;
use crate::base::iso_time;
use crate::storage::database::{Database, DatabaseError};

/// A held score.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldScore {
    /// Its id.
    pub score_id: String,
    /// Its window.
    pub window: String,
    /// The player.
    pub user_id: UserId,
    /// WeChat's id of the player.
    pub open_id: String,
    /// The score.
    pub score: i64,
    /// What the client sent with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<Value>,
    /// Why it is held.
    pub reason: String,
    /// When it was reported.
    #[serde(serialize_with = "iso_time::serialize")]
    pub at: Timestamp,
}

/// Lists held scores of a board, oldest first, from after `cursor`.
pub(super) async fn list(
    database: &Database,
    board: &BoardName,
    cursor: Option<&str>,
    limit: i64,
) -> Result<Vec<HeldScore>, BoardError> {
    sqlx::query(
        "SELECT h.id, h.window_key, h.user_id, u.open_id, h.score, h.extra, h.reason, h.at
         FROM held_scores h JOIN users u ON u.id = h.user_id
         WHERE h.board = $1 AND h.verdict IS NULL AND h.id > $2 ORDER BY h.id LIMIT $3",
    )
    .bind(board)
    .bind(cursor.unwrap_or_default())
    .bind(limit)
    .fetch_all(database.pool())
    .await?
    .iter()
    .map(held_of)
    .collect()
}

fn held_of(row: &AnyRow) -> Result<HeldScore, BoardError> {
    let (extra, at): (Option<String>, i64) = (row.try_get("extra")?, row.try_get("at")?);
    let at = Timestamp::from_millisecond(at);
    Ok(HeldScore {
        score_id: row.try_get("id")?,
        window: row.try_get("window_key")?,
        user_id: row.try_get("user_id")?,
        open_id: row.try_get("open_id")?,
        score: row.try_get("score")?,
        extra: extra.and_then(|extra| serde_json::from_str(&extra).ok()),
        reason: row.try_get("reason")?,
        at: at.map_err(|_| DatabaseError::Damaged("held_scores.at".to_owned()))?,
    })
}

/// What judging a score did.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Its window.
    pub window: WindowId,
    /// The change of the player's row; none: rejected, not an improvement, or the window has ended.
    pub change: Option<Change>,
    /// Whether the window has ended, so that a released score cannot rank any more.
    pub too_late: bool,
}

/// Stores a score that waits for a verdict.
pub(super) async fn hold(
    connection: &mut AnyConnection,
    window: &WindowId,
    new: &NewScore,
    reason: HeldReason,
    now: Timestamp,
) -> Result<(), BoardError> {
    sqlx::query(
        "INSERT INTO held_scores (id, board, window_key, user_id, score, extra, reason, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(Ulid::generate().to_string())
    .bind(&window.board)
    .bind(&window.window)
    .bind(new.user)
    .bind(new.score)
    .bind(&new.extra)
    .bind(reason.as_ref())
    .bind(now.as_millisecond())
    .execute(connection)
    .await?;
    Ok(())
}

/// Judges a held score, once. A released one counts as of the time when it was reported.
pub(super) async fn judge(
    database: &Database,
    board: &Board,
    id: &str,
    release: bool,
    now: Timestamp,
) -> Result<Judged, BoardError> {
    let window = sqlx::query_scalar(
        "SELECT window_key FROM held_scores
         WHERE id = $1 AND coalesce(board, '') = $2 AND coalesce(verdict, '') = ''",
    )
    .bind(id)
    .bind(&board.name)
    .fetch_optional(database.pool())
    .await?;
    let window = board.id(window.ok_or(BoardError::UnknownScore)?);
    let mut transaction = database.begin().await?;
    window_lock::lock(&mut transaction, database.dialect(), &window, Lock::Shared).await?;
    let row = sqlx::query(
        "UPDATE held_scores SET verdict = $1, judged_at = $2 WHERE id = $3 AND coalesce(verdict, '') = ''
         RETURNING user_id, score, extra, at",
    )
    .bind(if release { "released" } else { "rejected" })
    .bind(now.as_millisecond())
    .bind(id)
    .fetch_optional(&mut *transaction)
    .await?;
    let row = row.ok_or(BoardError::UnknownScore)?;
    let (mut change, mut too_late) = (None, false);
    if release {
        let at: i64 = row.try_get("at")?;
        let extra: Option<String> = row.try_get("extra")?;
        let user = row.try_get("user_id")?;
        match open_window(&mut transaction, &window, user).await? {
            None => too_late = true,
            Some((descending, hidden)) => {
                let written = Written {
                    window: &window,
                    user,
                    score: row.try_get("score")?,
                    extra: extra.as_deref(),
                    at: Timestamp::from_millisecond(at).unwrap_or(now),
                    current: board
                        .window_at(now)
                        .is_some_and(|it| it.key == window.window),
                    descending,
                    hidden,
                };
                change = score_row::write(&mut transaction, board, &written).await?;
            }
        }
    }
    transaction.commit().await?;
    Ok(Judged {
        window,
        change,
        too_late,
    })
}

/// The order of a window that accepts scores, and the reasons to hide the player.
async fn open_window(
    connection: &mut AnyConnection,
    window: &WindowId,
    user: UserId,
) -> Result<Option<(bool, i64)>, BoardError> {
    let row = sqlx::query(
        "SELECT w.state, w.descending, u.banned_at FROM board_windows w JOIN users u ON u.id = $3
         WHERE w.board = $1 AND w.window_key = $2",
    )
    .bind(&window.board)
    .bind(&window.window)
    .bind(user)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if row.try_get::<WindowState, _>("state")? != WindowState::Open {
        return Ok(None);
    }
    let banned: Option<i64> = row.try_get("banned_at")?;
    let descending = row.try_get::<i64, _>("descending")? != 0;
    Ok(Some((
        descending,
        super::hiding::reasons(banned.is_some(), false),
    )))
}

/// A player's scores of a window that wait for a verdict: number and time, oldest first.
pub(super) async fn of_player(
    database: &Database,
    window: &WindowId,
    user: UserId,
) -> Result<Vec<(i64, i64)>, BoardError> {
    sqlx::query(
        "SELECT score, at FROM held_scores
         WHERE user_id = $1 AND board = $2 AND window_key = $3 AND verdict IS NULL
         ORDER BY id LIMIT 1000",
    )
    .bind(user)
    .bind(&window.board)
    .bind(&window.window)
    .fetch_all(database.pool())
    .await?
    .iter()
    .map(|row| Ok((row.try_get("score")?, row.try_get("at")?)))
    .collect()
}

/// The score that a player believes to have: the row's, and the held ones in their order.
pub(super) fn believed(
    keep: Keep,
    descending: bool,
    row: Option<(i64, i64)>,
    held: &[(i64, i64)],
) -> Option<(i64, i64)> {
    held.iter().fold(row, |known, &(score, at)| {
        let Some((old, _)) = known else {
            return Some((score, at));
        };
        match keep {
            Keep::Best if (score > old) == descending && score != old => Some((score, at)),
            Keep::Best => known,
            Keep::Last => Some((score, at)),
            Keep::Sum => Some((old.saturating_add(score), at)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_scores_count_for_their_player() {
        let row = Some((10, 1));
        let held = [(7, 2), (12, 3)];
        assert_eq!(believed(Keep::Best, true, row, &held), Some((12, 3)));
        assert_eq!(believed(Keep::Best, false, row, &held), Some((7, 2)));
        assert_eq!(believed(Keep::Last, true, row, &held[..1]), Some((7, 2)));
        assert_eq!(believed(Keep::Sum, true, row, &held), Some((29, 3)));
        assert_eq!(believed(Keep::Best, true, None, &held), Some((12, 3)));
        assert_eq!(believed(Keep::Best, true, row, &[]), row);
    }
}
