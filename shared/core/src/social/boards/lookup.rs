//! Entries of given players, for operators and the game server.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;

use super::entries::{self, Ranked};
use super::error::BoardError;
use super::index::{Start, ViewRequest};
use super::names::{BoardName, WindowKey};
use super::windows::{self, WindowState};
use super::{Boards, table};
use crate::base::ids::UserId;

/// Maximum number of players of a lookup.
pub const MAX_PLAYERS: usize = 100;

/// Whose entries are wanted.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    /// By our ids.
    pub users: Vec<UserId>,
    /// By WeChat's ids.
    pub open_ids: Vec<String>,
    /// The window; none: the current one.
    pub window: Option<WindowKey>,
}

/// The entry of a player.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LookedUp {
    /// The entry.
    #[serde(flatten)]
    pub entry: entries::Entry,
    /// Whether others do not see it.
    pub hidden: bool,
}

impl Boards {
    /// Returns the entries of players who have a score, in the order of their ranks.
    ///
    /// # Errors
    /// [`BoardError`].
    pub async fn lookup(
        &self,
        name: &BoardName,
        lookup: &Lookup,
        now: Timestamp,
    ) -> Result<Vec<LookedUp>, BoardError> {
        let board = self.definitions.get(name).await?;
        let mut users = lookup.users.clone();
        for open_id in &lookup.open_ids {
            let found: Option<UserId> =
                sqlx::query_scalar("SELECT id FROM users WHERE open_id = $1")
                    .bind(open_id)
                    .fetch_optional(self.database.pool())
                    .await?;
            users.extend(found);
        }
        users.sort_unstable();
        users.dedup();
        let shown = || board.shown_at(now).map(|window| window.key);
        let key = lookup.window.clone().or_else(shown);
        let id = board.id(key.ok_or(BoardError::UnknownWindow)?);
        let Some(row) = windows::find(&self.database, &id).await? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::with_capacity(users.len());
        if row.state == WindowState::Open {
            let mut connection = self.database.pool().acquire().await?;
            for user in users {
                found.extend(table::row(&mut connection, &id, user).await?);
            }
            drop(connection);
            let request = ViewRequest {
                start: Start::Top,
                limit: 0,
                counted: found.iter().map(|row| row.change.position).collect(),
            };
            let view = self.view(&id, &request, now).await?;
            let ranked = found.iter().zip(&view.counts).map(|(row, before)| {
                let ranked = Ranked {
                    rank: before + 1,
                    user: row.change.position.user,
                    score: row.score,
                };
                (ranked, !row.change.ranked)
            });
            return self.described(ranked.collect()).await;
        }
        let mut ranked = Vec::with_capacity(users.len());
        for user in users {
            let row = sqlx::query(
                "SELECT rank, score FROM board_archive
                 WHERE board = $1 AND window_key = $2 AND user_id = $3",
            )
            .bind(&id.board)
            .bind(&id.window)
            .bind(user)
            .fetch_optional(self.database.pool())
            .await?;
            if let Some(row) = row {
                let rank: i64 = row.try_get("rank")?;
                let score = row.try_get("score")?;
                let rank = rank.unsigned_abs();
                ranked.push((Ranked { rank, user, score }, false));
            }
        }
        self.described(ranked).await
    }

    async fn described(
        &self,
        mut ranked: Vec<(Ranked, bool)>,
    ) -> Result<Vec<LookedUp>, BoardError> {
        ranked.sort_by_key(|(place, _)| place.rank);
        let mut found = Vec::with_capacity(ranked.len());
        for (place, hidden) in ranked {
            let own = Some(place.user);
            let entries = entries::with_profiles(&self.database, &[place], own).await?;
            found.extend(entries.into_iter().map(|entry| LookedUp { entry, hidden }));
        }
        Ok(found)
    }
}
