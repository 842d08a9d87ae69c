//! The end of a window. A transaction archives the ranking and changes the window's state, under the lock that
//! excludes scores: it happens once. Then the prizes are granted, each once by its source, and the scores deleted;
//! both continue where an interrupted job stopped.

use jiff::Timestamp;
use sqlx::{AnyConnection, Row};

use super::Boards;
use super::error::BoardError;
use super::names::{BoardName, WindowId, WindowKey};
use super::scores::{self, Lock};
use super::settings::Prize;
use super::windows::WindowState;
use crate::base::ids::UserId;
use crate::payments::PaymentError;
use crate::social::rewards;
use crate::storage::database::DatabaseError;

/// Prizes between two notes of how far they were granted.
const PRIZES: i64 = 100;
/// Scores deleted per statement.
const DELETED: i64 = 1000;

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
        self.delete_scores(&due.id).await?;
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
        scores::lock(
            &mut transaction,
            self.database.dialect(),
            id,
            Lock::Exclusive,
        )
        .await?;
        let taken = sqlx::query(
            "UPDATE board_windows SET state = 'ending', prizes = $1, archived_at = $2
             WHERE board = $3 AND window_key = $4 AND state = 'open'",
        )
        .bind(serde_json::json!(settings.prizes).to_string())
        .bind(now.as_millisecond())
        .bind(&id.board)
        .bind(&id.window)
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

    async fn grant_prizes(&self, id: &WindowId, now: Timestamp) -> Result<u64, BoardError> {
        let row = sqlx::query(
            "SELECT prizes, players, granted_to FROM board_windows
             WHERE board = $1 AND window_key = $2 AND state = 'ending'",
        )
        .bind(&id.board)
        .bind(&id.window)
        .fetch_optional(self.database.pool())
        .await?;
        let Some(row) = row else { return Ok(0) };
        let prizes: Option<String> = row.try_get("prizes")?;
        let prizes: Vec<Prize> = serde_json::from_str(&prizes.unwrap_or_default())
            .map_err(|_| DatabaseError::Damaged("board_windows.prizes".to_owned()))?;
        let players: Option<i64> = row.try_get("players")?;
        let players = players.unwrap_or(0);
        let last = prizes.iter().map(|prize| prize.last_rank(players)).max();
        let last = last.unwrap_or(0);
        let mut done: i64 = row.try_get("granted_to")?;
        let mut granted = 0;
        while done < last {
            let winners = self.archived(id, done, PRIZES.min(last - done)).await?;
            for (rank, user) in &winners {
                let prize = prizes.iter().find(|prize| prize.includes(*rank, players));
                if let Some(prize) = prize {
                    granted += u64::from(self.grant(id, *user, prize, now).await?);
                }
            }
            // Hidden players and the size of the board leave the archive shorter, not with gaps.
            done = match winners.last() {
                Some((rank, _)) => *rank,
                None => last,
            };
            sqlx::query(
                "UPDATE board_windows SET granted_to = $1
                 WHERE board = $2 AND window_key = $3 AND granted_to < $1",
            )
            .bind(done)
            .bind(&id.board)
            .bind(&id.window)
            .execute(self.database.pool())
            .await?;
        }
        Ok(granted)
    }

    /// Ranks and players after a rank.
    async fn archived(
        &self,
        id: &WindowId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, UserId)>, BoardError> {
        sqlx::query(
            "SELECT rank, user_id FROM board_archive
             WHERE board = $1 AND window_key = $2 AND rank > $3 ORDER BY rank LIMIT $4",
        )
        .bind(&id.board)
        .bind(&id.window)
        .bind(after)
        .bind(limit)
        .fetch_all(self.database.pool())
        .await?
        .iter()
        .map(|row| Ok((row.try_get("rank")?, row.try_get("user_id")?)))
        .collect()
    }

    /// Grants a prize in a transaction of its own: rows of several players would be locked in an order that others
    /// do not have.
    async fn grant(
        &self,
        id: &WindowId,
        user: UserId,
        prize: &Prize,
        now: Timestamp,
    ) -> Result<bool, BoardError> {
        let source = format!("season:{}:{}:{user}", id.board, id.window);
        let mut transaction = self.database.begin().await?;
        let granted = rewards::grant(&mut transaction, user, &source, &prize.items, now);
        let granted = granted.await.map_err(|error| match error {
            PaymentError::Database(error) => BoardError::Database(error),
            other => BoardError::Prize(other),
        })?;
        transaction.commit().await?;
        Ok(granted)
    }

    async fn delete_scores(&self, id: &WindowId) -> Result<(), BoardError> {
        loop {
            let deleted = sqlx::query(
                "DELETE FROM scores WHERE board = $1 AND window_key = $2 AND user_id IN (
                     SELECT user_id FROM scores WHERE board = $1 AND window_key = $2 LIMIT $3)",
            )
            .bind(&id.board)
            .bind(&id.window)
            .bind(DELETED)
            .execute(self.database.pool())
            .await?;
            if deleted.rows_affected() < DELETED.unsigned_abs() {
                return Ok(());
            }
        }
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
