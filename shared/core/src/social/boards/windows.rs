//! Windows: which one a moment belongs to, and the table of those that have scores.

use jiff::civil::{Date, ISOWeekDate, Weekday};
use jiff::{Timestamp, ToSpan};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use strum::{AsRefStr, Display, EnumString, IntoStaticStr};

use super::board::Board;
use super::error::BoardError;
use super::names::{WindowId, WindowKey};
use super::settings::WindowKind;
use crate::base::stored_text::stored_as_text;
use crate::storage::database::{Database, DatabaseError};

/// A window by the calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its name.
    pub key: WindowKey,
    /// Its first moment; none: it has no beginning.
    pub from: Option<Timestamp>,
    /// The first moment after it; none: it has no end.
    pub to: Option<Timestamp>,
}

impl Board {
    /// Returns the window of a moment; `None`: no season is running.
    pub fn window_at(&self, at: Timestamp) -> Option<Window> {
        let day = self.zone.to_datetime(at).date();
        let (name, first, next) = match self.settings.window {
            WindowKind::All => {
                return Some(Window {
                    key: "all".parse().ok()?,
                    from: None,
                    to: None,
                });
            }
            WindowKind::Day => (day.to_string(), day, day.tomorrow().ok()?),
            WindowKind::Week => {
                let week = day.iso_week_date();
                let monday = ISOWeekDate::new(week.year(), week.week(), Weekday::Monday).ok()?;
                let monday = Date::from(monday);
                let name = format!("{:04}-W{:02}", week.year(), week.week());
                (name, monday, monday.checked_add(7.days()).ok()?)
            }
            WindowKind::Month => {
                let first = day.first_of_month();
                let name = first.strftime("%Y-%m").to_string();
                (name, first, first.checked_add(1.month()).ok()?)
            }
            WindowKind::Season => {
                let found = self
                    .seasons
                    .iter()
                    .find(|(_, from, to)| *from <= at && at < *to);
                return found.map(season);
            }
        };
        let start = |day: Date| self.zone.to_timestamp(day.at(0, 0, 0, 0)).ok();
        Some(Window {
            key: name.parse().ok()?,
            from: Some(start(first)?),
            to: Some(start(next)?),
        })
    }

    /// Returns the window that is shown by default: the current one, or between seasons the last one.
    pub fn shown_at(&self, at: Timestamp) -> Option<Window> {
        let begun = || self.seasons.iter().rev().find(|(_, from, _)| *from <= at);
        let shown = self.window_at(at);
        shown.or_else(|| begun().or(self.seasons.first()).map(season))
    }

    pub(super) fn id(&self, window: WindowKey) -> WindowId {
        WindowId {
            board: self.name.clone(),
            window,
        }
    }
}

fn season((name, from, to): &(WindowKey, Timestamp, Timestamp)) -> Window {
    Window {
        key: name.clone(),
        from: Some(*from),
        to: Some(*to),
    }
}

/// The state of a window's row.
#[derive(AsRefStr, Clone, Copy, Debug, Display, EnumString, IntoStaticStr, PartialEq, Eq)]
#[strum(serialize_all = "snake_case")]
pub enum WindowState {
    /// Accepts scores.
    Open,
    /// Archived; its prizes are being granted.
    Ending,
    /// Archived, and its prizes granted.
    Ended,
}

stored_as_text!(WindowState);

/// The row of a window.
#[derive(Clone, Debug)]
pub struct WindowRow {
    /// The window.
    pub id: WindowId,
    /// Its state.
    pub state: WindowState,
    /// Whether the highest score ranks first.
    pub descending: bool,
    /// Number of ranked players when it ended.
    pub players: Option<i64>,
}

fn row_of(row: &AnyRow) -> Result<WindowRow, BoardError> {
    Ok(WindowRow {
        id: WindowId {
            board: row.try_get("board")?,
            window: row.try_get("window_key")?,
        },
        state: row.try_get("state")?,
        descending: row.try_get::<i64, _>("descending")? != 0,
        players: row.try_get("players")?,
    })
}

/// Returns the row of a window; `None`: it has no scores.
pub(super) async fn find(
    database: &Database,
    id: &WindowId,
) -> Result<Option<WindowRow>, BoardError> {
    sqlx::query(
        "SELECT board, window_key, state, descending, players FROM board_windows
         WHERE board = $1 AND window_key = $2",
    )
    .bind(&id.board)
    .bind(&id.window)
    .fetch_optional(database.pool())
    .await?
    .map(|row| row_of(&row))
    .transpose()
}

/// Lists the windows that accept scores.
///
/// # Errors
/// [`BoardError::Database`].
pub async fn open(database: &Database) -> Result<Vec<WindowRow>, BoardError> {
    sqlx::query(
        "SELECT board, window_key, state, descending, players FROM board_windows
         WHERE state = 'open' ORDER BY board, window_key",
    )
    .fetch_all(database.pool())
    .await?
    .iter()
    .map(row_of)
    .collect()
}

/// Inserts the row of a window unless there is one.
pub(super) async fn insert(
    connection: &mut AnyConnection,
    board: &Board,
    window: &Window,
) -> Result<(), BoardError> {
    let ms = |at: Option<Timestamp>| at.map(Timestamp::as_millisecond);
    sqlx::query(
        "INSERT INTO board_windows (board, window_key, state, descending, starts_at, ends_at, due_at)
         VALUES ($1, $2, 'open', $3, $4, $5, $6) ON CONFLICT (board, window_key) DO NOTHING",
    )
    .bind(&board.name)
    .bind(&window.key)
    .bind(i64::from(board.descending()))
    .bind(ms(window.from))
    .bind(ms(window.to))
    .bind(due_at(board, window))
    .execute(connection)
    .await?;
    Ok(())
}

/// When a window accepts no more scores, Unix ms.
pub(super) fn due_at(board: &Board, window: &Window) -> Option<i64> {
    let ends_at = window.to.map(Timestamp::as_millisecond);
    ends_at.map(|ends_at| ends_at.saturating_add(grace_ms(board)))
}

fn grace_ms(board: &Board) -> i64 {
    i64::try_from(board.settings.grace.as_millis()).unwrap_or(i64::MAX)
}

/// Moves the ends of open seasons to those of the settings.
pub(super) async fn reschedule(
    connection: &mut AnyConnection,
    board: &Board,
) -> Result<(), BoardError> {
    for (name, from, to) in &board.seasons {
        let ends_at = to.as_millisecond();
        sqlx::query(
            "UPDATE board_windows SET starts_at = $1, ends_at = $2, due_at = $3
             WHERE board = $4 AND window_key = $5 AND state = 'open'",
        )
        .bind(from.as_millisecond())
        .bind(ends_at)
        .bind(ends_at.saturating_add(grace_ms(board)))
        .bind(&board.name)
        .bind(name)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Work that is overdue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Held scores that wait for a verdict.
    pub held: i64,
    /// Age of the oldest of them, ms.
    pub held_oldest_ms: i64,
    /// How long the window that should have ended first is overdue, ms.
    pub overdue_ms: i64,
    /// Differences that the last comparison of each window found.
    pub differences: i64,
}

/// Counts what waits for an operator or a job.
///
/// # Errors
/// When the database fails.
pub async fn backlog(database: &Database, now: Timestamp) -> Result<Backlog, DatabaseError> {
    let now = now.as_millisecond();
    let held = sqlx::query("SELECT count(*), min(at) FROM held_scores WHERE verdict IS NULL")
        .fetch_one(database.pool())
        .await?;
    let due: Option<i64> =
        sqlx::query_scalar("SELECT min(due_at) FROM board_windows WHERE due_at IS NOT NULL")
            .fetch_one(database.pool())
            .await?;
    let differences: i64 = sqlx::query_scalar(
        "SELECT CAST(coalesce(sum(differences), 0) AS BIGINT) FROM board_checks",
    )
    .fetch_one(database.pool())
    .await?;
    let age = |at: Option<i64>| at.map_or(0, |at| (now - at).max(0));
    Ok(Backlog {
        held: held.try_get(0)?,
        held_oldest_ms: age(held.try_get(1)?),
        overdue_ms: age(due),
        differences,
    })
}

#[cfg(test)]
mod tests {
    use super::super::season::Season;
    use super::super::settings::BoardSettings;
    use super::*;

    fn board(window: WindowKind, zone: &str) -> Board {
        let settings = BoardSettings {
            window,
            time_zone: zone.to_owned(),
            ..BoardSettings::default()
        };
        Board::new("score".parse().unwrap(), settings).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn windows_begin_and_end_in_the_boards_time_zone() {
        for (window, zone, now, key, from, to) in [
            (
                WindowKind::Day,
                "Asia/Shanghai",
                "2026-11-29T15:59:59.999Z",
                "2026-11-29",
                "2026-11-28T16:00:00Z",
                "2026-11-29T16:00:00Z",
            ),
            (
                WindowKind::Day,
                "Asia/Shanghai",
                "2026-11-29T16:00:00Z",
                "2026-11-30",
                "2026-11-29T16:00:00Z",
                "2026-11-30T16:00:00Z",
            ),
            // 23 hours: clocks go forward.
            (
                WindowKind::Day,
                "Europe/Berlin",
                "2026-03-29T12:00:00Z",
                "2026-03-29",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00Z",
            ),
            // ISO week 53 of the year before.
            (
                WindowKind::Week,
                "Asia/Shanghai",
                "2027-01-01T12:00:00Z",
                "2026-W53",
                "2026-12-27T16:00:00Z",
                "2027-01-03T16:00:00Z",
            ),
            (
                WindowKind::Month,
                "Asia/Shanghai",
                "2026-12-31T15:00:00Z",
                "2026-12",
                "2026-11-30T16:00:00Z",
                "2026-12-31T16:00:00Z",
            ),
        ] {
            let found = board(window, zone).window_at(at(now)).unwrap();
            let expected = Window {
                key: key.parse().unwrap(),
                from: Some(at(from)),
                to: Some(at(to)),
            };
            assert_eq!(found, expected, "{now}");
        }
        let forever = board(WindowKind::All, "UTC").window_at(at("2026-01-01T00:00:00Z"));
        assert_eq!(forever.unwrap().to, None);
    }

    #[test]
    fn between_seasons_there_is_no_window_but_the_last_is_shown() {
        let season = |name: &str, from: &str, to: &str| Season {
            name: name.parse().unwrap(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        };
        let settings = BoardSettings {
            window: WindowKind::Season,
            seasons: vec![
                season("s2", "2026-03-01", "2026-04-01T00:00:00+08:00"),
                season("s1", "2026-01-01", "2026-02-01"),
            ],
            ..BoardSettings::default()
        };
        let board = Board::new("score".parse().unwrap(), settings.clone()).unwrap();
        let key = |window: Option<Window>| window.map(|it| it.key.to_string());
        let (running, between) = (at("2026-03-31T15:59:59Z"), at("2026-02-10T00:00:00Z"));
        assert_eq!(key(board.window_at(running)).as_deref(), Some("s2"));
        assert_eq!(board.window_at(between), None);
        assert_eq!(key(board.shown_at(between)).as_deref(), Some("s1"));
        let before = at("2025-01-01T00:00:00Z");
        assert_eq!(key(board.shown_at(before)).as_deref(), Some("s1"));

        let mut overlapping = settings;
        overlapping.seasons[1].to = "2026-03-02".parse().unwrap();
        let error = Board::new("score".parse().unwrap(), overlapping).unwrap_err();
        assert_eq!(error.field, "seasons");
    }
}
