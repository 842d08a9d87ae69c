//! Storing a score: one transaction that uses up the run, judges the score, and changes the player's row or holds
//! the score. A score that does not improve changes nothing.
//!
//! A window ends under a lock that excludes every transaction which stores a score in it, so that no score is
//! stored after the archive was written.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use sqlx::{AnyConnection, Row};
use strum::{AsRefStr, IntoStaticStr, VariantArray};
use ulid::Ulid;

use super::error::BoardError;
use super::index::{Change, Position};
use super::names::WindowId;
use super::runs::{self, Run};
use super::settings::{Board, HeldReason, Keep, MAX_SCORE, Runs};
use super::windows::{self, Window, WindowState};
use super::{hiding, hooks};
use crate::base::ids::UserId;
use crate::storage::config::Dialect;
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
struct Standing {
    state: Option<WindowState>,
    due_at: Option<i64>,
    descending: bool,
    banned: bool,
    marked: bool,
    score: Option<i64>,
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
    lock(&mut transaction, database.dialect(), &id, Lock::Shared).await?;
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
        hold(&mut transaction, &id, new, reason, now).await?;
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
    let change = write(&mut transaction, board, &row).await?;
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

/// How a transaction holds a window.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Stores a score.
    Shared,
    /// Ends the window.
    Exclusive,
}

/// Holds a window until the end of the transaction. SQLite's transactions are one at a time anyway.
pub(super) async fn lock(
    connection: &mut AnyConnection,
    dialect: Dialect,
    window: &WindowId,
    lock: Lock,
) -> Result<(), BoardError> {
    if dialect == Dialect::Sqlite {
        return Ok(());
    }
    let name = format!("avalon board {window}");
    let name = digest(&SHA256, name.as_bytes());
    let key = name.as_ref().first_chunk().copied();
    let key = i64::from_be_bytes(key.unwrap_or_default());
    let statement = match lock {
        Lock::Shared => "SELECT CAST(pg_advisory_xact_lock_shared($1) AS TEXT)",
        Lock::Exclusive => "SELECT CAST(pg_advisory_xact_lock($1) AS TEXT)",
    };
    sqlx::query(statement)
        .bind(key)
        .fetch_one(connection)
        .await?;
    Ok(())
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

/// Why a score is not plausible.
fn implausible(
    board: &Board,
    new: &NewScore,
    run: Option<&Run>,
    standing: &Standing,
    now: Timestamp,
) -> Option<HeldReason> {
    let settings = &board.settings;
    if new.trusted {
        return None;
    }
    if settings.hold_marked && standing.marked {
        return Some(HeldReason::Marked);
    }
    let (min, max) = (settings.min, settings.max);
    if min.is_some_and(|min| new.score < min) || max.is_some_and(|max| new.score > max) {
        return Some(HeldReason::Range);
    }
    let step = match settings.keep {
        Keep::Sum => Some(new.score.abs()),
        Keep::Best | Keep::Last => standing.score.map(|score| (new.score - score).abs()),
    };
    if step
        .zip(settings.max_step)
        .is_some_and(|(step, max)| step > max)
    {
        return Some(HeldReason::Step);
    }
    let rate = settings.max_rate.zip(run);
    #[allow(clippy::cast_precision_loss, reason = "scores are within 2^53")]
    let too_fast = rate
        .is_some_and(|(rate, run)| new.score.abs() as f64 > rate * run.duration(now).as_secs_f64());
    too_fast.then_some(HeldReason::Rate)
}

async fn hold(
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
