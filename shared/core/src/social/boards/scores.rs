//! Storing a score: one transaction that uses up the run, judges the score, and changes the player's row or holds
//! the score. A score that does not improve changes nothing.

use jiff::Timestamp;
use sqlx::{AnyConnection, Row};
use strum::{AsRefStr, IntoStaticStr, VariantArray};

use super::board::{Board, MAX_SCORE};
use super::error::BoardError;
use super::index::Change;
use super::names::WindowId;
use super::plausibility::implausible;
use super::score_row::{self, Written};
use super::settings::{Keep, Runs};
use super::window_lock::{self, Lock};
use super::windows::{self, Window, WindowState};
use super::{held, hiding, runs};
use crate::base::ids::UserId;
use crate::storage::database::Database;

/// What became of a score. The names are label values.
#[derive(AsRefStr, Clone, Copy, Debug, IntoStaticStr, PartialEq, Eq, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum ScoreOutcome {
    /// It is the player's score now.
    Improved,
    /// The player's earlier score is better.
    NotImproved,
    /// It waits for an operator.
    Held,
    /// It repeats an earlier request.
    Repeated,
    /// The board does not accept it from this caller.
    Refused,
    /// Its run is not valid, or missing.
    InvalidRun,
    /// The player reported too many in this minute.
    RateLimited,
    /// No window accepts it.
    Closed,
    /// It could not be stored.
    Failed,
}

/// A score as it was reported.
#[derive(Clone, Debug)]
pub struct NewScore {
    /// The player.
    pub user: UserId,
    /// The score.
    pub score: i64,
    /// JSON that is stored with it.
    pub extra: Option<String>,
    /// Its run.
    pub run: Option<String>,
    /// Names the request, so that a repetition changes nothing.
    pub key: Option<String>,
    /// Whether the game server reports it: it needs no run, and is plausible.
    pub trusted: bool,
}

/// A score that was accepted.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// What became of it.
    pub(super) outcome: ScoreOutcome,
    /// Its window.
    pub(super) window: WindowId,
    /// The change of the player's row.
    pub(super) change: Option<Change>,
}

/// How the player's row and marks were when the transaction began.
pub(super) struct Standing {
    state: Option<WindowState>,
    due_at: Option<i64>,
    descending: bool,
    banned: bool,
    pub(super) marked: bool,
    pub(super) score: Option<i64>,
}

/// Stores a score.
///
/// # Errors
/// [`BoardError`].
pub(super) async fn store(
    database: &Database,
    board: &Board,
    new: &NewScore,
    now: Timestamp,
) -> Result<Stored, BoardError> {
    if new.score.abs() > MAX_SCORE {
        return Err(BoardError::OutOfRange);
    }
    if board.settings.runs == Runs::Required && new.run.is_none() && !new.trusted {
        return Err(BoardError::RunMissing);
    }
    let late = match &new.run {
        None => None,
        Some(id) => {
            let begun = runs::begun_at(database, id).await?;
            begun.and_then(|at| board.window_at(at))
        }
    };
    let current = board.window_at(now);
    if let Some(begun) = late
        && current.as_ref() != Some(&begun)
    {
        match store_in(database, board, begun, new, now).await {
            // The grace of the run's window is over: the score counts in the current one.
            Err(BoardError::Closed) => {}
            done => return done,
        }
    }
    let current = current.ok_or(BoardError::Closed)?;
    store_in(database, board, current, new, now).await
}

async fn store_in(
    database: &Database,
    board: &Board,
    window: Window,
    new: &NewScore,
    now: Timestamp,
) -> Result<Stored, BoardError> {
    let id = board.id(window.key.clone());
    let mut transaction = database.begin().await?;
    window_lock::lock(&mut transaction, database.dialect(), &id, Lock::Shared).await?;
    let mut standing = standing(&mut transaction, &id, new.user).await?;
    let due_at = match standing.state {
        Some(WindowState::Open) => standing.due_at,
        Some(_) => return Err(BoardError::Closed),
        None => {
            windows::insert(&mut transaction, board, &window).await?;
            standing.descending = board.descending();
            windows::due_at(board, &window)
        }
    };
    // The job that ends the window may be late.
    if due_at.is_some_and(|due_at| due_at <= now.as_millisecond()) {
        return Err(BoardError::Closed);
    }
    let run = match &new.run {
        None => None,
        Some(run) => Some(runs::take(&mut transaction, run, &id.board, new, now).await?),
    };
    if run.as_ref().is_some_and(|run| run.repeated)
        || repeats(&mut transaction, board, new, now).await?
    {
        return Ok(Stored {
            outcome: ScoreOutcome::Repeated,
            window: id,
            change: None,
        });
    }
    if let Some(reason) = implausible(board, new, run.as_ref(), &standing, now) {
        held::hold(&mut transaction, &id, new, reason, now).await?;
        transaction.commit().await?;
        return Ok(Stored {
            outcome: ScoreOutcome::Held,
            window: id,
            change: None,
        });
    }
    let row = Written {
        window: &id,
        user: new.user,
        score: new.score,
        extra: new.extra.as_deref(),
        at: now,
        current: board
            .window_at(now)
            .is_some_and(|current| current.key == id.window),
        descending: standing.descending,
        hidden: hiding::reasons(
            standing.banned,
            standing.marked && board.settings.hold_marked,
        ),
    };
    let change = score_row::write(&mut transaction, board, &row).await?;
    transaction.commit().await?;
    Ok(Stored {
        outcome: match change {
            Some(_) => ScoreOutcome::Improved,
            None => ScoreOutcome::NotImproved,
        },
        window: id,
        change,
    })
}

async fn standing(
    connection: &mut AnyConnection,
    window: &WindowId,
    user: UserId,
) -> Result<Standing, BoardError> {
    let row = sqlx::query(
        "SELECT w.state, w.due_at, w.descending, u.banned_at, m.marked_at, s.score
         FROM users u
         LEFT JOIN board_windows w ON w.board = $2 AND w.window_key = $3
         LEFT JOIN cheat_marks m ON m.user_id = u.id AND m.cleared_at IS NULL
         LEFT JOIN scores s ON s.board = $2 AND s.window_key = $3 AND s.user_id = u.id
         WHERE u.id = $1 AND u.erased_at IS NULL",
    )
    .bind(user)
    .bind(&window.board)
    .bind(&window.window)
    .fetch_optional(connection)
    .await?;
    let row = row.ok_or(BoardError::UnknownPlayer)?;
    let banned: Option<i64> = row.try_get("banned_at")?;
    let marked: Option<i64> = row.try_get("marked_at")?;
    let descending: Option<i64> = row.try_get("descending")?;
    Ok(Standing {
        state: row.try_get("state")?,
        due_at: row.try_get("due_at")?,
        descending: descending.is_some_and(|descending| descending != 0),
        banned: banned.is_some(),
        marked: marked.is_some(),
        score: row.try_get("score")?,
    })
}

/// Whether the same request was stored before. Only for boards on which a second time would change something.
async fn repeats(
    connection: &mut AnyConnection,
    board: &Board,
    new: &NewScore,
    now: Timestamp,
) -> Result<bool, BoardError> {
    let Some(key) = new
        .key
        .as_ref()
        .filter(|_| board.settings.keep != Keep::Best)
    else {
        return Ok(false);
    };
    let written = sqlx::query(
        "INSERT INTO score_keys (user_id, request_key, at) VALUES ($1, $2, $3)
         ON CONFLICT (user_id, request_key) DO NOTHING",
    )
    .bind(new.user)
    .bind(format!("{}:{key}", board.name))
    .bind(now.as_millisecond())
    .execute(connection)
    .await?;
    Ok(written.rows_affected() == 0)
}
