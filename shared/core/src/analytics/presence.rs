//! Who was there on which day: the figures of ours that WeChat's own stand beside.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::Row;

use super::counts::LONGEST;
use super::day::Day;
use crate::storage::database::{Database, DatabaseError};

/// Players of a day, by our own events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// Players who were there.
    pub players: i64,
    /// Of these, those who were never there before.
    pub new_players: i64,
}

/// The days from `from` to `to`, both included; a day without players is left out.
///
/// # Errors
/// The database's.
pub async fn by_day(
    database: &Database,
    from: Day,
    to: Day,
) -> Result<BTreeMap<Day, Presence>, DatabaseError> {
    let mut transaction = database.begin_limited(LONGEST).await?;
    let rows = sqlx::query(
        "SELECT there.day, count(*) AS players,
                count(CASE WHEN NOT EXISTS (
                    SELECT 1 FROM analytics_user_days earlier
                    WHERE earlier.user_id = there.user_id AND earlier.day < there.day
                ) THEN 1 END) AS new_players
         FROM analytics_user_days there
         WHERE there.day BETWEEN $1 AND $2
         GROUP BY there.day",
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
