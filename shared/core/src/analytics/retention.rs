//! Retention: the share of new players of a day who are active a number of days later.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{AnyConnection, Row};

use super::counts::STATEMENT_TIMEOUT;
use super::day::Day;
use crate::storage::database::{Database, DatabaseError};

/// Maximum number of offsets in one query.
pub const MAX_DAYS: usize = 20;

/// The new players of a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cohort {
    /// The day, by Beijing time.
    pub day: Day,
    /// Number of new players.
    pub players: i64,
    /// Those who came back, by offset.
    pub retained: Vec<Retained>,
}

/// Players of a cohort who came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Retained {
    /// Days after the first day.
    pub days: i64,
    /// Number of players; `None` if that day has not ended yet.
    pub players: Option<i64>,
}

/// Counts, for each day from `from` to `to`, its new players and those of them who were active each of
/// `days` days later. A player is active on a day with an event of theirs. A day without new players has
/// no cohort. `today` has not ended.
///
/// # Errors
/// The database's.
pub async fn retention(
    database: &Database,
    from: Day,
    to: Day,
    days: &[i64],
    today: Day,
) -> Result<Vec<Cohort>, DatabaseError> {
    let mut cohorts = BTreeMap::new();
    let mut transaction = database.begin_limited(STATEMENT_TIMEOUT).await?;
    let rows = sqlx::query(
        "SELECT first.day, count(*) AS players FROM analytics_user_days first
         WHERE first.day BETWEEN $1 AND $2
           AND NOT EXISTS (SELECT 1 FROM analytics_user_days before
                           WHERE before.user_id = first.user_id AND before.day < first.day)
         GROUP BY first.day",
    )
    .bind(from.number())
    .bind(to.number())
    .fetch_all(&mut *transaction)
    .await?;
    for row in rows {
        let day = Day::from_number(row.try_get("day")?);
        let cohort = Cohort {
            day,
            players: row.try_get("players")?,
            retained: Vec::with_capacity(days.len()),
        };
        cohorts.insert(day, cohort);
    }
    for after in days {
        let came_back = came_back(&mut transaction, from, to, *after).await?;
        for (day, cohort) in &mut cohorts {
            let ended = day.plus(*after) < today;
            let players = came_back.get(day).copied().unwrap_or(0);
            cohort.retained.push(Retained {
                days: *after,
                players: ended.then_some(players),
            });
        }
    }
    Ok(cohorts.into_values().collect())
}

async fn came_back(
    connection: &mut AnyConnection,
    from: Day,
    to: Day,
    after: i64,
) -> Result<BTreeMap<Day, i64>, DatabaseError> {
    let rows = sqlx::query(
        "SELECT first.day, count(*) AS players FROM analytics_user_days first
         JOIN analytics_user_days back
           ON back.user_id = first.user_id AND back.day = first.day + $3
         WHERE first.day BETWEEN $1 AND $2
           AND NOT EXISTS (SELECT 1 FROM analytics_user_days before
                           WHERE before.user_id = first.user_id AND before.day < first.day)
         GROUP BY first.day",
    )
    .bind(from.number())
    .bind(to.number())
    .bind(after)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let day = Day::from_number(row.try_get("day")?);
            Ok((day, row.try_get("players")?))
        })
        .collect()
}
