//! Players on WeChat's list of cheats. A mark hides the player's scores on boards with `holdMarked`, and holds later
//! ones; an operator may remove it.

use avalon_wechat::OpenId;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row;

use super::Boards;
use super::error::BoardError;
use super::hiding;
use crate::base::ids::UserId;
use crate::storage::database::DatabaseError;

/// An observation of WeChat's.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The player.
    pub open_id: OpenId,
    /// WeChat's number of the kind of cheat.
    pub cheat_type: i64,
    /// From 0 to 4.
    pub risk_level: i64,
    /// `yyyyMMddHH`, Beijing time.
    pub observed: String,
}

/// A marked player.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// The player.
    pub user_id: UserId,
    /// WeChat's id of the player.
    pub open_id: String,
    /// WeChat's number of the kind of cheat.
    pub cheat_type: i64,
    /// From 0 to 4.
    pub risk_level: i64,
    /// `yyyyMMddHH`, Beijing time.
    pub observed: String,
}

impl Boards {
    /// Marks a player; returns whether there is a new mark. An unknown player, an observation that is not newer
    /// than the known one, and one of before an operator removed the mark change nothing.
    ///
    /// # Errors
    /// [`BoardError::Database`].
    pub async fn mark(
        &self,
        observation: &Observation,
        now: Timestamp,
    ) -> Result<bool, BoardError> {
        let boards = self.definitions.all().await?;
        let mut transaction = self.database.begin().await?;
        let user: Option<UserId> = sqlx::query_scalar(
            "INSERT INTO cheat_marks (user_id, cheat_type, risk_level, observed, marked_at)
             SELECT id, $2, $3, $4, $5 FROM users WHERE open_id = $1
             ON CONFLICT (user_id) DO UPDATE SET
                 cheat_type = excluded.cheat_type, risk_level = excluded.risk_level,
                 observed = excluded.observed, marked_at = excluded.marked_at, cleared_at = NULL
             WHERE excluded.observed > cheat_marks.observed
             RETURNING user_id",
        )
        .bind(observation.open_id.as_str())
        .bind(observation.cheat_type)
        .bind(observation.risk_level)
        .bind(&observation.observed)
        .bind(now.as_millisecond())
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(user) = user else { return Ok(false) };
        for board in boards.values().filter(|board| board.settings.hold_marked) {
            hiding::set_marked(&mut transaction, user, &board.name, true, now).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Removes a player's mark, and shows the scores again; returns whether there was one.
    ///
    /// # Errors
    /// [`BoardError::Database`].
    pub async fn clear_mark(&self, user: UserId, now: Timestamp) -> Result<bool, BoardError> {
        let boards = self.definitions.all().await?;
        let mut transaction = self.database.begin().await?;
        let cleared = sqlx::query(
            "UPDATE cheat_marks SET cleared_at = $1 WHERE user_id = $2 AND cleared_at IS NULL",
        )
        .bind(now.as_millisecond())
        .bind(user)
        .execute(&mut *transaction)
        .await?;
        for board in boards.keys() {
            hiding::set_marked(&mut transaction, user, board, false, now).await?;
        }
        transaction.commit().await?;
        Ok(cleared.rows_affected() > 0)
    }

    /// Lists marked players in the order of their ids, those after `after`.
    ///
    /// # Errors
    /// [`BoardError::Database`].
    pub async fn marks(&self, after: Option<UserId>, limit: i64) -> Result<Vec<Mark>, BoardError> {
        let rows = sqlx::query(
            "SELECT m.user_id, u.open_id, m.cheat_type, m.risk_level, m.observed
             FROM cheat_marks m JOIN users u ON u.id = m.user_id
             WHERE m.cleared_at IS NULL AND m.user_id > $1 ORDER BY m.user_id LIMIT $2",
        )
        .bind(after.map(|user| user.to_string()).unwrap_or_default())
        .bind(limit)
        .fetch_all(self.database.pool())
        .await?;
        let mark = |row: &sqlx::any::AnyRow| {
            Ok(Mark {
                user_id: row.try_get("user_id")?,
                open_id: row.try_get("open_id")?,
                cheat_type: row.try_get("cheat_type")?,
                risk_level: row.try_get("risk_level")?,
                observed: row.try_get("observed")?,
            })
        };
        let marks: Result<Vec<Mark>, sqlx::Error> = rows.iter().map(mark).collect();
        Ok(marks.map_err(DatabaseError::from)?)
    }
}
