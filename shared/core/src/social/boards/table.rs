//! Rankings as the table `scores` has them: what the index must equal, and what is read without one.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::error::BoardError;
use super::index::{Change, Position, Start, View, ViewRequest, centred};
use super::names::{BoardName, WindowId, WindowKey};
use crate::base::ids::UserId;
use crate::storage::database::Database;

/// Reads a part of a ranking, each of its numbers by one query.
///
/// # Errors
/// [`BoardError::Database`].
pub async fn view(
    database: &Database,
    window: &WindowId,
    request: &ViewRequest,
) -> Result<View, BoardError> {
    let mut counts = Vec::with_capacity(request.counted.len());
    for place in &request.counted {
        counts.push(before(database, window, place).await?);
    }
    let total: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM scores WHERE board = $1 AND window_key = $2 AND hidden = 0",
    )
    .bind(&window.board)
    .bind(&window.window)
    .fetch_one(database.pool())
    .await?;
    let total = total.unsigned_abs();
    let first = match request.start {
        Start::Top => 0,
        Start::After(place) => not_after(database, window, &place).await?,
        Start::Around(place) => {
            let at = before(database, window, &place).await?;
            centred(at, total, request.limit)
        }
    };
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let places = sqlx::query(
        "SELECT user_id, sort_key, reached_at FROM scores
         WHERE board = $1 AND window_key = $2 AND hidden = 0
         ORDER BY sort_key, reached_at, user_id LIMIT $3 OFFSET $4",
    )
    .bind(&window.board)
    .bind(&window.window)
    .bind(signed(request.limit))
    .bind(signed(first))
    .fetch_all(database.pool())
    .await?;
    let places = places.iter().map(position_of).collect::<Result<_, _>>()?;
    Ok(View {
        total,
        before: first,
        places,
        counts,
    })
}

/// Number of other players before a place.
async fn before(
    database: &Database,
    window: &WindowId,
    place: &Position,
) -> Result<u64, BoardError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM scores
         WHERE board = $1 AND window_key = $2 AND hidden = 0
           AND (sort_key, reached_at, user_id) < ($3, $4, $5) AND user_id <> $5",
    )
    .bind(&window.board)
    .bind(&window.window)
    .bind(place.sort_key)
    .bind(place.reached_at)
    .bind(place.user)
    .fetch_one(database.pool())
    .await?;
    Ok(count.unsigned_abs())
}

/// Number of players before a place or at it.
async fn not_after(
    database: &Database,
    window: &WindowId,
    place: &Position,
) -> Result<u64, BoardError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM scores
         WHERE board = $1 AND window_key = $2 AND hidden = 0
           AND (sort_key, reached_at, user_id) <= ($3, $4, $5)",
    )
    .bind(&window.board)
    .bind(&window.window)
    .bind(place.sort_key)
    .bind(place.reached_at)
    .bind(place.user)
    .fetch_one(database.pool())
    .await?;
    Ok(count.unsigned_abs())
}

/// Reads places in the order of the ranking, those after `after`.
pub(super) async fn page(
    database: &Database,
    window: &WindowId,
    after: Option<Position>,
    limit: u64,
) -> Result<Vec<Position>, BoardError> {
    let sql = match after {
        None => {
            "SELECT user_id, sort_key, reached_at FROM scores
             WHERE board = $1 AND window_key = $2 AND hidden = 0
             ORDER BY sort_key, reached_at, user_id LIMIT $3"
        }
        Some(_) => {
            "SELECT user_id, sort_key, reached_at FROM scores
             WHERE board = $1 AND window_key = $2 AND hidden = 0
               AND (sort_key, reached_at, user_id) > ($4, $5, $6)
             ORDER BY sort_key, reached_at, user_id LIMIT $3"
        }
    };
    let query = sqlx::query(sql)
        .bind(&window.board)
        .bind(&window.window)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let query = match after {
        None => query,
        Some(place) => query
            .bind(place.sort_key)
            .bind(place.reached_at)
            .bind(place.user),
    };
    let rows = query.fetch_all(database.pool()).await?;
    rows.iter().map(position_of).collect()
}

fn position_of(row: &AnyRow) -> Result<Position, BoardError> {
    Ok(Position {
        sort_key: row.try_get("sort_key")?,
        reached_at: row.try_get("reached_at")?,
        user: row.try_get("user_id")?,
    })
}

fn change_of(row: &AnyRow) -> Result<Change, BoardError> {
    Ok(Change {
        position: position_of(row)?,
        ranked: row.try_get::<i64, _>("hidden")? == 0,
        version: row.try_get("version")?,
    })
}

/// A row of a player, ranked or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ScoreRow {
    /// The score.
    pub(super) score: i64,
    /// The place, and whether others see it.
    pub(super) change: Change,
}

/// Returns the row of a player.
pub(super) async fn row(
    connection: &mut AnyConnection,
    window: &WindowId,
    user: UserId,
) -> Result<Option<ScoreRow>, BoardError> {
    let row = sqlx::query(
        "SELECT user_id, score, sort_key, reached_at, hidden, version FROM scores
         WHERE board = $1 AND window_key = $2 AND user_id = $3",
    )
    .bind(&window.board)
    .bind(&window.window)
    .bind(user)
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(ScoreRow {
            score: row.try_get("score")?,
            change: change_of(&row)?,
        })
    })
    .transpose()
}

/// Where a page of changes ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChangeCursor {
    at: i64,
    user: String,
    window: Option<WindowId>,
}

impl ChangeCursor {
    pub(super) fn from(at: i64) -> Self {
        Self {
            at,
            user: String::new(),
            window: None,
        }
    }
}

/// Reads changes of any window in the order of their times, and where to continue; `None`: there are no more.
pub(super) async fn changes(
    database: &Database,
    from: &ChangeCursor,
    limit: i64,
) -> Result<(Vec<(WindowId, Change)>, Option<ChangeCursor>), BoardError> {
    let name = |name: fn(&WindowId) -> String| from.window.as_ref().map(name).unwrap_or_default();
    let rows = sqlx::query(
        "SELECT board, window_key, user_id, sort_key, reached_at, hidden, version, changed_at
         FROM scores WHERE changed_at >= $1
           AND (changed_at, user_id, board, window_key) > ($1, $2, $3, $4)
         ORDER BY changed_at, user_id, board, window_key LIMIT $5",
    )
    .bind(from.at)
    .bind(&from.user)
    .bind(name(|id| id.board.to_string()))
    .bind(name(|id| id.window.to_string()))
    .bind(limit)
    .fetch_all(database.pool())
    .await?;
    let mut changes = Vec::with_capacity(rows.len());
    for row in &rows {
        let (board, window): (BoardName, WindowKey) =
            (row.try_get("board")?, row.try_get("window_key")?);
        changes.push((WindowId { board, window }, change_of(row)?));
    }
    let next = match (rows.last(), changes.last()) {
        (Some(row), Some((window, change))) if i64::try_from(rows.len()) == Ok(limit) => {
            Some(ChangeCursor {
                at: row.try_get("changed_at")?,
                user: change.position.user.to_string(),
                window: Some(window.clone()),
            })
        }
        _ => None,
    };
    Ok((changes, next))
}

/// Reads rows of a window in the order of the players, those after `after`.
///
/// # Errors
/// [`BoardError::Database`].
pub async fn rows(
    database: &Database,
    window: &WindowId,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<Change>, BoardError> {
    sqlx::query(
        "SELECT user_id, sort_key, reached_at, hidden, version FROM scores
         WHERE board = $1 AND window_key = $2 AND user_id > $3 ORDER BY user_id LIMIT $4",
    )
    .bind(&window.board)
    .bind(&window.window)
    .bind(after.map(|user| user.to_string()).unwrap_or_default())
    .bind(limit)
    .fetch_all(database.pool())
    .await?
    .iter()
    .map(change_of)
    .collect()
}
