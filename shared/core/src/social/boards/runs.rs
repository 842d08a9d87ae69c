//! Runs: a client opens one when the player begins, and its score may use it once.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{AnyConnection, Row};
use ulid::Ulid;

use super::board::Board;
use super::error::BoardError;
use super::names::BoardName;
use super::scores::NewScore;
use crate::base::ids::UserId;
use crate::storage::database::Database;

/// A run that a score has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    started_at: i64,
    /// Whether the same score used it before.
    pub(super) repeated: bool,
}

impl Run {
    pub(super) fn duration(&self, now: Timestamp) -> Duration {
        let ms = now.as_millisecond() - self.started_at;
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    }
}

/// A run that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedRun {
    /// Its id.
    pub id: String,
    /// A later score is not accepted.
    pub expires: Timestamp,
}

/// Opens a run of a player.
pub(super) async fn open(
    database: &Database,
    board: &Board,
    user: UserId,
    ttl: Duration,
    now: Timestamp,
) -> Result<OpenedRun, BoardError> {
    let window = board.window_at(now).ok_or(BoardError::Closed)?;
    let id = Ulid::generate().to_string();
    let expires = now.checked_add(ttl).unwrap_or(Timestamp::MAX);
    sqlx::query(
        "INSERT INTO score_runs (id, user_id, board, window_key, started_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&id)
    .bind(user)
    .bind(&board.name)
    .bind(&window.key)
    .bind(now.as_millisecond())
    .bind(expires.as_millisecond())
    .execute(database.pool())
    .await?;
    Ok(OpenedRun { id, expires })
}

/// Returns when a run began; `None`: there is no such run, which [`take`] reports.
pub(super) async fn begun_at(
    database: &Database,
    id: &str,
) -> Result<Option<Timestamp>, BoardError> {
    let at: Option<i64> = sqlx::query_scalar("SELECT started_at FROM score_runs WHERE id = $1")
        .bind(id)
        .fetch_optional(database.pool())
        .await?;
    Ok(at.and_then(|at| Timestamp::from_millisecond(at).ok()))
}

/// Uses a run up. The same score again repeats its request, and is not an error.
pub(super) async fn take(
    connection: &mut AnyConnection,
    id: &str,
    board: &BoardName,
    new: &NewScore,
    now: Timestamp,
) -> Result<Run, BoardError> {
    let taken: Option<i64> = sqlx::query_scalar(
        "UPDATE score_runs SET used_at = $1, score = $2
         WHERE id = $3 AND user_id = $4 AND board = $5 AND used_at IS NULL
           AND coalesce(expires_at, 0) > $1
         RETURNING started_at",
    )
    .bind(now.as_millisecond())
    .bind(new.score)
    .bind(id)
    .bind(new.user)
    .bind(board)
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(started_at) = taken {
        return Ok(Run {
            started_at,
            repeated: false,
        });
    }
    let used = sqlx::query(
        "SELECT started_at, score FROM score_runs
         WHERE id = $1 AND user_id = $2 AND board = $3 AND used_at IS NOT NULL",
    )
    .bind(id)
    .bind(new.user)
    .bind(board)
    .fetch_optional(connection)
    .await?;
    let used = used.ok_or(BoardError::UnknownRun)?;
    let score: Option<i64> = used.try_get("score")?;
    if score != Some(new.score) {
        return Err(BoardError::UnknownRun);
    }
    Ok(Run {
        started_at: used.try_get("started_at")?,
        repeated: true,
    })
}
