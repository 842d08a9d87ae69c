//! The prizes of a window that has ended, by the ranks of the archive. How far they are granted is noted in steps;
//! the source of each keeps it from being granted twice.

use jiff::Timestamp;
use sqlx::Row;

use super::Boards;
use super::error::BoardError;
use super::names::WindowId;
use super::prize::Prize;
use crate::base::ids::UserId;
use crate::payments::PaymentError;
use crate::social::rewards;
use crate::storage::database::DatabaseError;

/// Prizes between two notes of how far they were granted.
const PRIZES: i64 = 100;

impl Boards {
    /// Grants the prizes of an archived window; returns the number of those granted now.
    pub(super) async fn grant_prizes(
        &self,
        id: &WindowId,
        now: Timestamp,
    ) -> Result<u64, BoardError> {
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
}
