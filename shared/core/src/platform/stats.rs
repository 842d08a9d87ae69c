//! WeChat's daily figures of the mini-game, as last reported: which datasets there are, when they are
//! fetched, and how they are stored. Days are by Beijing time. Workers fetch them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use avalon_wechat::{GameMetric, InvalidGameMetric};
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::Row;

use crate::analytics;
use crate::analytics::presence::{self, Presence};
use crate::storage::database::{Database, DatabaseError};

/// China has one time zone and no daylight saving.
const BEIJING: Offset = Offset::constant(8);
/// The hour in Beijing from which yesterday's figures are available.
const READY_HOUR: i8 = 8;
/// Days for which WeChat may correct a figure.
const CORRECTED_FOR: i64 = 3;
/// Days that are fetched when they are missing, in case the service was down.
const CAUGHT_UP: i64 = 7;
/// Offsets, in days, at which the retention of a day grows.
const RETENTION: [i64; 9] = [1, 2, 3, 4, 5, 6, 7, 14, 30];

/// Figures that WeChat returns together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Dataset {
    /// Visitors in all, and shares.
    Summary,
    /// Visits.
    Visits,
    /// Retention.
    Retain,
    /// A metric of the mini-game.
    Game(GameMetric),
}

/// A text is not a [`Dataset`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be summary, visits, retain, or game: and a metric")]
pub struct InvalidDataset;

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Summary => f.write_str("summary"),
            Self::Visits => f.write_str("visits"),
            Self::Retain => f.write_str("retain"),
            Self::Game(metric) => write!(f, "game:{metric}"),
        }
    }
}

impl FromStr for Dataset {
    type Err = InvalidDataset;

    fn from_str(text: &str) -> Result<Self, InvalidDataset> {
        match text {
            "summary" => Ok(Self::Summary),
            "visits" => Ok(Self::Visits),
            "retain" => Ok(Self::Retain),
            _ => {
                let metric = text.strip_prefix("game:").ok_or(InvalidDataset)?;
                let metric = metric
                    .parse()
                    .map_err(|_: InvalidGameMetric| InvalidDataset)?;
                Ok(Self::Game(metric))
            }
        }
    }
}

impl From<Dataset> for String {
    fn from(dataset: Dataset) -> Self {
        dataset.to_string()
    }
}

impl TryFrom<String> for Dataset {
    type Error = InvalidDataset;

    fn try_from(text: String) -> Result<Self, InvalidDataset> {
        text.parse()
    }
}

/// Returns the days whose figures may be new at this time, yesterday first.
pub fn days_to_pull(dataset: &Dataset, now: Timestamp) -> Vec<Date> {
    let today = BEIJING.to_datetime(now).date();
    let mut ages: Vec<i64> = (1..=CAUGHT_UP).collect();
    if *dataset == Dataset::Retain {
        // The retention after k days is reported the day after that.
        let grown = RETENTION.iter().map(|later| later + 1);
        let grown = grown.flat_map(|age| age..age + CORRECTED_FOR);
        ages.extend(grown.filter(|age| *age > CAUGHT_UP));
        ages.sort_unstable();
        ages.dedup();
    }
    let is_early = BEIJING.to_datetime(now).hour() < READY_HOUR;
    ages.into_iter()
        // Before the ready hour the latest complete day is the day before yesterday.
        .map(|age| if is_early { age + 1 } else { age })
        .filter_map(|age| today.checked_sub(age.days()).ok())
        .collect()
}

/// Whether to fetch a day that was last fetched at `fetched`.
pub fn is_due(dataset: &Dataset, day: Date, fetched: Option<Timestamp>, now: Timestamp) -> bool {
    let Some(fetched) = fetched else { return true };
    let age = |at: Timestamp| {
        // Yesterday's figures are available from the ready hour on: an age begins there.
        let local = BEIJING.to_datetime(at);
        let ready = local.saturating_sub(i64::from(READY_HOUR).hours()).date();
        ready
            .since(day)
            .map_or(0, |span| i64::from(span.get_days()))
    };
    let (then, now) = (age(fetched), age(now));
    let has_grown = || RETENTION.iter().any(|later| (then..now).contains(later));
    // Once a day while the figures can change.
    then < now && (now <= CORRECTED_FOR || (*dataset == Dataset::Retain && has_grown()))
}

/// Returns when a day was last fetched.
///
/// # Errors
/// When the database fails.
pub async fn fetched_at(
    database: &Database,
    day: Date,
    dataset: &Dataset,
) -> Result<Option<Timestamp>, DatabaseError> {
    let at: Option<i64> =
        sqlx::query_scalar("SELECT fetched_at FROM platform_stats WHERE day = $1 AND dataset = $2")
            .bind(day.to_string())
            .bind(dataset.to_string())
            .fetch_optional(database.pool())
            .await?;
    Ok(at.and_then(|at| Timestamp::from_millisecond(at).ok()))
}

/// Stores the figures of a day, replacing earlier ones.
///
/// # Errors
/// When the database fails.
pub async fn store(
    database: &Database,
    day: Date,
    dataset: &Dataset,
    figures: &Value,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    sqlx::query(
        "INSERT INTO platform_stats (day, dataset, figures, fetched_at, changed_at)
         VALUES ($1, $2, $3, $4, $4)
         ON CONFLICT (day, dataset) DO UPDATE SET
             figures = excluded.figures, fetched_at = excluded.fetched_at,
             changed_at = CASE WHEN platform_stats.figures = excluded.figures
                               THEN platform_stats.changed_at ELSE excluded.changed_at END",
    )
    .bind(day.to_string())
    .bind(dataset.to_string())
    .bind(figures.to_string())
    .bind(now.as_millisecond())
    .execute(database.pool())
    .await?;
    Ok(())
}

/// A day's figures: ours, and WeChat's by dataset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Day {
    /// `YYYY-MM-DD`, Beijing time.
    pub day: String,
    /// By our events; `None` for a day without active players.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ours: Option<Presence>,
    /// By WeChat.
    #[serde(flatten)]
    pub figures: BTreeMap<String, Value>,
}

/// Returns the days from `from` to `to`, inclusive, oldest first; days without figures are left out.
///
/// # Errors
/// When the database fails.
pub async fn days(database: &Database, from: Date, to: Date) -> Result<Vec<Day>, DatabaseError> {
    let rows = sqlx::query(
        "SELECT day, dataset, figures FROM platform_stats WHERE day >= $1 AND day <= $2
         ORDER BY day, dataset",
    )
    .bind(from.to_string())
    .bind(to.to_string())
    .fetch_all(database.pool())
    .await?;
    let (first, last) = (analytics::Day::of_date(from), analytics::Day::of_date(to));
    let ours = presence::by_day(database, first, last).await?;
    let ours = ours.into_iter().map(|(day, ours)| Day {
        day: day.to_string(),
        ours: Some(ours),
        figures: BTreeMap::new(),
    });
    let mut days: BTreeMap<String, Day> = ours.map(|day| (day.day.clone(), day)).collect();
    for row in &rows {
        let (day, dataset): (String, String) = (row.try_get("day")?, row.try_get("dataset")?);
        let figures: String = row.try_get("figures")?;
        let figures = serde_json::from_str(&figures)
            .map_err(|_| DatabaseError::Damaged("figures".to_owned()))?;
        let entry = days.entry(day.clone()).or_insert_with(|| Day {
            day,
            ours: None,
            figures: BTreeMap::new(),
        });
        entry.figures.insert(dataset, figures);
    }
    Ok(days.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn days(dataset: &Dataset, now: &str) -> Vec<String> {
        let days = days_to_pull(dataset, at(now));
        days.iter().map(Date::to_string).collect()
    }

    #[test]
    fn dataset_names_round_trip() {
        for name in ["summary", "visits", "retain", "game:1000006:4"] {
            assert_eq!(name.parse::<Dataset>().unwrap().to_string(), name);
        }
        for bad in ["", "game", "game:", "game:x", "Summary"] {
            assert_eq!(bad.parse::<Dataset>(), Err(InvalidDataset), "{bad}");
        }
    }

    #[test]
    fn yesterday_is_fetched_from_eight_in_the_morning_in_beijing() {
        // 07:59 and 08:00 of the tenth.
        assert_eq!(
            days(&Dataset::Visits, "2026-01-09T23:59:00Z")[0],
            "2026-01-08"
        );
        let days = days(&Dataset::Visits, "2026-01-10T00:00:00Z");
        assert_eq!(days[0], "2026-01-09");
        assert_eq!(days.len(), 7);
    }

    #[test]
    fn retention_is_fetched_when_it_has_grown() {
        let days = days(&Dataset::Retain, "2026-02-10T04:00:00Z");
        let seventh: Vec<_> = days[7..10].iter().map(|day| &day[5..]).collect();
        // Seven days later, and two days of corrections.
        assert_eq!(seventh, ["02-02", "02-01", "01-31"]);
        assert_eq!([&*days[10], &*days[13]], ["2026-01-26", "2026-01-10"]);
        assert_eq!(days.len(), 16);
    }

    #[test]
    fn a_day_is_fetched_once_a_day_while_it_can_change() {
        let day = jiff::civil::date(2026, 1, 9);
        let due = |dataset: &Dataset, fetched: Option<&str>, now: &str| {
            is_due(dataset, day, fetched.map(at), at(now))
        };
        let (morning, noon) = ("2026-01-10T01:00:00Z", "2026-01-10T04:00:00Z");
        let visits = Dataset::Visits;
        assert!(due(&visits, None, morning), "missing");
        assert!(due(&visits, None, "2026-01-30T01:00:00Z"), "long missing");
        assert!(!due(&visits, Some(morning), noon), "the same day");
        assert!(due(&visits, Some(morning), "2026-01-11T01:00:00Z"));
        assert!(due(&visits, Some(morning), "2026-01-12T01:00:00Z"));
        assert!(
            !due(&visits, Some(morning), "2026-01-13T01:00:00Z"),
            "final"
        );
        assert!(due(&Dataset::Retain, Some(morning), "2026-01-13T01:00:00Z"));
        assert!(due(&Dataset::Retain, Some(morning), "2026-01-24T01:00:00Z"));
        let fortnight = Some("2026-01-24T01:00:00Z");
        assert!(!due(&Dataset::Retain, fortnight, "2026-01-25T01:00:00Z"));
        assert!(due(&Dataset::Retain, fortnight, "2026-02-09T01:00:00Z"));
    }
}
