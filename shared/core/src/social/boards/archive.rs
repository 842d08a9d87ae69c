//! Reading windows that have ended, from the archive of their rankings.

use jiff::Timestamp;
use sqlx::Row;

use super::cursor::After;
use super::entries::Ranked;
use super::error::BoardError;
use super::index::centred;
use super::leaderboard::{Page, Query, capped};
use super::names::WindowId;
use super::windows::WindowRow;
use super::{Boards, groups};
use crate::base::ids::UserId;

impl Boards {
    pub(super) async fn archived_page(
        &self,
        row: &WindowRow,
        user: UserId,
        query: &Query,
        now: Timestamp,
    ) -> Result<Page, BoardError> {
        let after = query.cursor.as_ref().and_then(|cursor| match cursor.after {
            After::Rank(rank) => u64::try_from(rank).ok(),
            After::Place(_) => None,
        });
        let limit = query.limit;
        if let Some(group) = &query.group {
            let members = groups::archived(&self.database, &row.id, group, now).await?;
            let ranked = members.iter().zip(1..).map(|((user, score), rank)| Ranked {
                rank,
                user: *user,
                score: *score,
            });
            let ranked: Vec<Ranked> = ranked.collect();
            let me = ranked.iter().find(|it| it.user == user).copied();
            let total = ranked.len() as u64;
            let before = first_rank(query.around_me, me, after, total, limit);
            let part = ranked.iter().filter(|it| it.rank > before);
            let part: Vec<Ranked> = part.take(capped(limit)).copied().collect();
            return Ok(archived_part(before, part, me, total));
        }
        let me = self.archived_entry(&row.id, user).await?;
        let total: Option<i64> = sqlx::query_scalar(
            "SELECT max(rank) FROM board_archive WHERE board = $1 AND window_key = $2",
        )
        .bind(&row.id.board)
        .bind(&row.id.window)
        .fetch_one(self.database.pool())
        .await?;
        let total = total.unwrap_or(0).unsigned_abs();
        let before = first_rank(query.around_me, me, after, total, limit);
        let rows = sqlx::query(
            "SELECT rank, user_id, score FROM board_archive
             WHERE board = $1 AND window_key = $2 AND rank > $3 ORDER BY rank LIMIT $4",
        )
        .bind(&row.id.board)
        .bind(&row.id.window)
        .bind(i64::try_from(before).unwrap_or(i64::MAX))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(self.database.pool())
        .await?;
        let part = rows.iter().map(ranked_of).collect::<Result<_, _>>()?;
        Ok(archived_part(before, part, me, total))
    }

    async fn archived_entry(
        &self,
        window: &WindowId,
        user: UserId,
    ) -> Result<Option<Ranked>, BoardError> {
        let row = sqlx::query(
            "SELECT rank, user_id, score FROM board_archive
             WHERE board = $1 AND window_key = $2 AND user_id = $3",
        )
        .bind(&window.board)
        .bind(&window.window)
        .bind(user)
        .fetch_optional(self.database.pool())
        .await?;
        row.map(|row| ranked_of(&row)).transpose()
    }
}

fn ranked_of(row: &sqlx::any::AnyRow) -> Result<Ranked, BoardError> {
    let rank: i64 = row.try_get("rank")?;
    Ok(Ranked {
        rank: rank.unsigned_abs(),
        user: row.try_get("user_id")?,
        score: row.try_get("score")?,
    })
}

/// Number of ranks before a page of an archive.
fn first_rank(around: bool, me: Option<Ranked>, after: Option<u64>, total: u64, limit: u64) -> u64 {
    match (around, me) {
        (true, Some(me)) => centred(me.rank.saturating_sub(1), total, limit),
        _ => after.unwrap_or(0),
    }
}

fn archived_part(before: u64, ranked: Vec<Ranked>, me: Option<Ranked>, total: u64) -> Page {
    let last = ranked.last().map(|it| it.rank).filter(|last| *last < total);
    Page {
        before,
        next: last.map(|last| After::Rank(i64::try_from(last).unwrap_or(i64::MAX))),
        ranked,
        me,
    }
}
