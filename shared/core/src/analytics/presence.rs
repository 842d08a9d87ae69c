//! Active players by day: our figures, reported beside WeChat's.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::Row;

use super::counts::STATEMENT_TIMEOUT;
use super::day::Day;
use crate::storage::database::{Database, DatabaseError};

/// Players of a day, by our events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// Active players.
    pub players: i64,
    /// Those of them who were not active before.
    pub new_players: i64,
}

/// Returns the days from `from` to `to`, inclusive; days without players are left out.
///
/// # Errors
/// The database's.
pub async fn by_day(
    database: &Database,
    from: Day,
    to: Day,
) -> Result<BTreeMap<Day, Presence>, DatabaseError> {
    let mut transaction = database.begin_limited(STATEMENT_TIMEOUT).await?;
    let rows = sqlx::query(
        "SELECT active.day, count(*) AS players,
                count(CASE WHEN NOT EXISTS (
                    SELECT 1 FROM analytics_user_days earlier
                    WHERE earlier.user_id = active.user_id AND earlier.day < active.day
                ) THEN 1 END) AS new_players
         FROM analytics_user_days active
         WHERE active.day BETWEEN $1 AND $2
         GROUP BY active.day",
    )
    .bind(from.number())
    .bind(to.number())
    .fetch_all(&mut *transaction)
    .await?;
    rows.iter()
        .map(|row| {
            let presence = Presence {
                players: row.try_get("players")?,
                new_players: row.try_get("new_players")?,
            };
            Ok((Day::from_number(row.try_get("day")?), presence))
        })
        .collect()
}
