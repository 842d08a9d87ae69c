//! The end of a window. A transaction archives the ranking and changes the window's state, under the lock that
//! excludes scores: it happens once. Then the prizes are granted, each once by its source, and the scores deleted,
//! also from WeChat's friends ranking; both continue where an interrupted job stopped.

use jiff::Timestamp;
use sqlx::{AnyConnection, Row};

use super::Boards;
use super::error::BoardError;
use super::names::{BoardName, WindowId, WindowKey};
use super::window_lock::{self, Lock};
use super::windows::WindowState;

/// What ending windows did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Number of windows that were archived.
    pub archived: u64,
    /// Number of prizes granted.
    pub prizes: u64,
    /// Number of windows whose prizes are granted.
    pub ended: u64,
}

/// A window whose job must act.
struct Due {
    id: WindowId,
    state: WindowState,
}

impl Boards {
    /// Ends the windows that are due. One that fails does not keep the others from ending.
    ///
    /// # Errors
    /// The first [`BoardError`].
    pub async fn end_due(&self, now: Timestamp) -> Result<Ended, BoardError> {
        let rows = sqlx::query(
            "SELECT board, window_key, state FROM board_windows WHERE due_at <= $1
             ORDER BY due_at LIMIT 100",
        )
        .bind(now.as_millisecond())
        .fetch_all(self.database.pool())
        .await?;
        let (mut ended, mut failed) = (Ended::default(), None);
        for row in &rows {
            let due = Due {
                id: WindowId {
                    board: row.try_get("board")?,
                    window: row.try_get("window_key")?,
                },
                state: row.try_get("state")?,
            };
            if let Err(error) = self.end(&due, now, &mut ended).await {
                tracing::error!(window = %due.id, %error, "a window could not be ended, will retry");
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(ended), Err)
    }

    /// Ends a window now, whatever its settings; one that has ended already is left as it is.
    ///
    /// # Errors
    /// [`BoardError::UnknownWindow`], [`BoardError::Closed`] for one that never ends, and others.
    pub async fn end_now(
        &self,
        board: &BoardName,
        window: &WindowKey,
        now: Timestamp,
    ) -> Result<Ended, BoardError> {
        let id = WindowId {
            board: board.clone(),
            window: window.clone(),
        };
        let row = super::windows::find(&self.database, &id).await?;
        let row = row.ok_or(BoardError::UnknownWindow)?;
        let mut ended = Ended::default();
        if row.state == WindowState::Ended {
            return Ok(ended);
        }
        let taken = sqlx::query(
            "UPDATE board_windows SET due_at = $1
             WHERE board = $2 AND window_key = $3 AND state <> 'ended' AND ends_at IS NOT NULL",
        )
        .bind(now.as_millisecond())
        .bind(board)
        .bind(window)
        .execute(self.database.pool())
        .await?;
        if taken.rows_affected() == 0 {
            return Err(BoardError::Closed);
        }
        let due = Due {
            id,
            state: row.state,
        };
        self.end(&due, now, &mut ended).await?;
        Ok(ended)
    }

    async fn end(&self, due: &Due, now: Timestamp, ended: &mut Ended) -> Result<(), BoardError> {
        if due.state == WindowState::Open {
            ended.archived += u64::from(self.archive(&due.id, now).await?);
        }
        ended.prizes += self.grant_prizes(&due.id, now).await?;
        self.delete_scores(&due.id, now).await?;
        let changed = sqlx::query(
            "UPDATE board_windows SET state = 'ended', due_at = NULL
             WHERE board = $1 AND window_key = $2 AND state = 'ending'",
        )
        .bind(&due.id.board)
        .bind(&due.id.window)
        .execute(self.database.pool())
        .await?
        .rows_affected();
        sqlx::query("DELETE FROM board_checks WHERE board = $1 AND window_key = $2")
            .bind(&due.id.board)
            .bind(&due.id.window)
            .execute(self.database.pool())
            .await?;
        if changed > 0 {
            ended.ended += 1;
            tracing::info!(window = %due.id, prizes = ended.prizes, "a window of a board has ended");
        }
        // Temporary: an index without its window is read by no one.
        if let Err(error) = self.index.clear(&due.id).await {
            tracing::debug!(%error, window = %due.id, "the index of an ended window remains");
        }
        Ok(())
    }

    /// Archives the ranking; returns whether it was done now.
    async fn archive(&self, id: &WindowId, now: Timestamp) -> Result<bool, BoardError> {
        let board = self.definitions.get(&id.board).await;
        // The settings may have been removed meanwhile.
        let settings = board
            .map(|board| board.settings.clone())
            .unwrap_or_default();
        let mut transaction = self.database.begin_copy().await?;
        window_lock::lock(
            &mut transaction,
            self.database.dialect(),
            id,
            Lock::Exclusive,
        )
        .await?;
        let taken = sqlx::query(
            "UPDATE board_windows SET state = 'ending', prizes = $1, archived_at = $2, hosted_key = $5
             WHERE board = $3 AND window_key = $4 AND state = 'open'",
        )
        .bind(serde_json::json!(settings.prizes).to_string())
        .bind(now.as_millisecond())
        .bind(&id.board)
        .bind(&id.window)
        .bind(&settings.hosted_key)
        .execute(&mut *transaction)
        .await?;
        if taken.rows_affected() == 0 {
            return Ok(false);
        }
        let players = archive_ranking(&mut transaction, id, settings.size).await?;
        sqlx::query("UPDATE board_windows SET players = $1 WHERE board = $2 AND window_key = $3")
            .bind(players)
            .bind(&id.board)
            .bind(&id.window)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// Writes the ranking of a window to the archive, down to `size`; returns the number of ranked players.
async fn archive_ranking(
    connection: &mut AnyConnection,
    id: &WindowId,
    size: Option<u32>,
) -> Result<i64, BoardError> {
    let players: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM scores WHERE board = $1 AND window_key = $2 AND hidden = 0",
    )
    .bind(&id.board)
    .bind(&id.window)
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO board_archive (board, window_key, rank, user_id, score)
         SELECT board, window_key, row_number() OVER (ORDER BY sort_key, reached_at, user_id),
                user_id, score
         FROM scores WHERE board = $1 AND window_key = $2 AND hidden = 0
         ORDER BY sort_key, reached_at, user_id LIMIT $3",
    )
    .bind(&id.board)
    .bind(&id.window)
    .bind(size.map_or(i64::MAX, i64::from))
    .execute(connection)
    .await?;
    Ok(players)
}
