//! Events into SQLite: all rows of a group in one statement, from one JSON text, in one
//! transaction.

use serde::Serialize;
use serde_json::value::RawValue;

use super::prepare::{EventRow, Prepared};
use crate::storage::database::{Database, DatabaseError};

const STORE: &str = "INSERT INTO analytics_events (
        day, at, received_at, event_id, user_id, open_id, event_name, params, session_id, source,
        known, app_version, platform, scene, country, city)
    SELECT e.value ->> 0, e.value ->> 1, e.value ->> 2, e.value ->> 3, e.value ->> 4,
           coalesce(e.value ->> 5, u.open_id), e.value ->> 6, e.value -> 7, e.value ->> 8,
           e.value ->> 9, e.value ->> 10, e.value ->> 11, e.value ->> 12, e.value ->> 13,
           u.country, u.city
    FROM json_each($1) e LEFT JOIN users u ON u.id = e.value ->> 4
    WHERE true
    ON CONFLICT DO NOTHING";

const STORE_DAYS: &str = "INSERT INTO analytics_user_days (user_id, day)
    SELECT DISTINCT e.value ->> 4, e.value ->> 0 FROM json_each($1) e
    WHERE e.value ->> 14
    ON CONFLICT DO NOTHING";

/// A row, in the order of the statement.
#[derive(Serialize)]
struct Line<'a>(
    i64,
    i64,
    i64,
    &'a str,
    &'a str,
    Option<&'a str>,
    &'a str,
    &'a RawValue,
    Option<&'a str>,
    &'static str,
    i64,
    Option<&'a str>,
    Option<&'a str>,
    Option<i64>,
    bool,
);

impl<'a> Line<'a> {
    fn of(batch: &'a Prepared, row: &'a EventRow) -> Self {
        let (head, line) = (&batch.head, &row.line);
        let player = head.players.get(line.player);
        Self(
            row.day.number(),
            line.at,
            head.received_at,
            &row.id,
            player.map_or("", |player| &player.user_id),
            player.and_then(|player| player.open_id.as_deref()),
            &line.name,
            &line.params,
            line.session_id.as_deref(),
            head.source.into(),
            i64::from(row.known),
            head.client.app_version.as_deref(),
            head.client.platform.as_deref(),
            head.client.scene,
            head.shows_presence(&line.name),
        )
    }
}

/// Writes batches in one transaction; answers how many events are new.
pub(super) async fn write(
    database: &Database,
    batches: &[&Prepared],
) -> Result<u64, DatabaseError> {
    let lines: Vec<Line<'_>> = batches
        .iter()
        .flat_map(|batch| batch.rows.iter().map(|row| Line::of(batch, row)))
        .collect();
    let lines = serde_json::to_string(&lines)
        .map_err(|error| DatabaseError::Refused(sqlx::Error::Encode(Box::new(error))))?;
    let mut transaction = database.begin().await?;
    let stored = sqlx::query(STORE)
        .bind(&lines)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(STORE_DAYS)
        .bind(&lines)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(stored.rows_affected())
}
